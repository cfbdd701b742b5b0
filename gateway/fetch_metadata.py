"""Fetch metadata: the headers in which a browser says which page sends a request, and for what."""

PAGES = frozenset({"/", "/docs"})
"""The pages of the plane, which links on other sites may open."""

SAFE_METHODS = frozenset({"GET", "HEAD"})


def is_from_another_origin(site: bytes) -> bool:
    """Whether Sec-Fetch-Site names a page of another origin; an unknown value counts as one.

    Browsers since 2023 send the header to https and to this machine. It is empty for other clients, and `none` if a
    person opens the address.
    """
    return site not in {b"", b"same-origin", b"none"}


def opens_page(method: str, path: str, *, mode: bytes, destination: bytes) -> bool:
    """Whether the browser opens a page of the plane in a window, so that the page it comes from reads nothing of it."""
    is_navigation = mode == b"navigate" and destination in {b"", b"document"}
    return is_navigation and method in SAFE_METHODS and path in PAGES
