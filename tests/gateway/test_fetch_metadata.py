import pytest

from gateway.fetch_metadata import is_from_another_origin, opens_page

NAVIGATION = {"mode": b"navigate", "destination": b"document"}


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize(
    ("site", "is_foreign"),
    [
        (b"", False),
        (b"same-origin", False),
        (b"none", False),
        (b"same-site", True),
        (b"cross-site", True),
        (b"Same-Origin", True),
        (b"anything", True),
    ],
)
def test_every_site_but_the_planes_own_is_another_origin(site, is_foreign):
    assert is_from_another_origin(site) is is_foreign


@pytest.mark.covers("EDGE-38")
@pytest.mark.parametrize(
    ("method", "path", "changes", "opens"),
    [
        ("GET", "/docs", {}, True),
        ("HEAD", "/", {}, True),
        ("GET", "/docs", {"destination": b""}, True),
        ("POST", "/docs", {}, False),
        ("GET", "/workspaces", {}, False),
        ("GET", "/docs/", {}, False),
        ("GET", "/docs", {"destination": b"iframe"}, False),
        ("GET", "/docs", {"mode": b"no-cors"}, False),
        ("GET", "/docs", {"mode": b""}, False),
    ],
)
def test_a_link_of_another_site_opens_the_pages_of_the_plane_only(method, path, changes, opens):
    assert opens_page(method, path, **(NAVIGATION | changes)) is opens
