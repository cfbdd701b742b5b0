"""Decides under which host names the gateway answers: a foreign name may resolve to this machine (DNS rebinding)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

LOCAL_NAMES = frozenset({"localhost", "host.docker.internal"})
"""Names that no DNS server of the internet answers, so they cannot be the names of foreign pages."""

HOST_PATTERN = re.compile(r"(?P<name>[a-z0-9._-]+|\[(?P<ipv6>[0-9a-f:.]+)\])(?::\d{0,5})?", re.IGNORECASE | re.ASCII)
"""A Host header: a name or an IP literal, and a port."""

MAX_HOST_LENGTH = 270
"""Characters of a Host header that are read: the longest name, its final dot, brackets and a port."""

MAX_REMEMBERED_HOSTS = 256


class HostPolicy:
    """Allows localhost, IP literals and the names of the plane, whatever their port and case."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are host names as `parse_host` returns them."""
        self._names = LOCAL_NAMES | frozenset(names)
        self.allows = lru_cache(MAX_REMEMBERED_HOSTS)(self._is_allowed)
        """Whether a Host header names the plane: one look-up for the hosts that clients really use."""

    def _is_allowed(self, host: bytes) -> bool:
        name = parse_host(host.decode("latin-1"))
        return name is not None and (name in self._names or is_ip_address(name))


def parse_host(text: str) -> str | None:
    """Return the name or the IP address in a Host header, in lower case, without port, brackets and final dot.

    Returns `None` for any other text.
    """
    found = HOST_PATTERN.fullmatch(text) if len(text) <= MAX_HOST_LENGTH else None
    if found is None:
        return None
    if found["ipv6"] is not None:
        return found["ipv6"].lower() if is_ip_address(found["ipv6"], IPv6Address) else None
    return found["name"].lower().removesuffix(".") or None


def is_ip_address(text: str, *kinds: type[IPv4Address | IPv6Address]) -> bool:
    """Whether a text is an IP address of one of the kinds; without kinds, of either."""
    for kind in kinds or (IPv4Address, IPv6Address):
        try:
            kind(text)
        except ValueError:
            continue
        return True
    return False
