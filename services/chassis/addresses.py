"""Decides which addresses users may register and the plane may connect to (docs/spec/rest.md, 5.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
"""Characters of the longest URL that is parsed."""

FORBIDDEN_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "2001:db8::/32",
        "fc00::/8",
        "fe80::/10",
        "ff00::/8",
    )
)
"""Refused in every mode: reserved networks, and link-local ones with their metadata services."""

LOOPBACK_NETWORKS: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
"""Allowed in development only."""

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
)
"""Allowed in development, in SaaS mode, and where the operator lists them."""


class AddressRefusal(StrEnum):
    """Why an address is refused."""

    MALFORMED = "not an absolute http or https URL"
    UNRESOLVABLE = "the host cannot be resolved"
    FORBIDDEN = "the host resolves to an address that is never allowed"
    LOOPBACK = "the host resolves to this machine"
    PRIVATE = "the host resolves to a private network"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """The settings that the decision depends on; `allowed` are the operator's networks."""

    development: bool = False
    saas: bool = False
    allowed: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The host and port of a URL."""

    host: str
    port: int


def parse_endpoint(url: str) -> Endpoint | None:
    """Return the host and port of an absolute http or https URL without credentials; `None` for any other text."""
    if len(url) > MAX_URL_LENGTH or any(not (" " < character <= "~") for character in url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None or parts.password is not None:
        return None
    return Endpoint(host=host, port=port if port is not None else 443 if parts.scheme == "https" else 80)


def find_address_refusal(resolved: Iterable[str], rules: AddressRules) -> AddressRefusal | None:
    """Return why a host with these resolved addresses is refused, or `None`.

    One refused address among several refuses the host, because any of them may be used.
    """
    refusals = [find_ip_refusal(text, rules) for text in resolved]
    if not refusals:
        return AddressRefusal.UNRESOLVABLE
    return next((refusal for refusal in refusals if refusal is not None), None)


def find_ip_refusal(text: str, rules: AddressRules) -> AddressRefusal | None:
    """Return why one resolved address is refused, or `None`."""
    address = _parse_destination(text)
    if address is None or _is_within(address, FORBIDDEN_NETWORKS):
        return AddressRefusal.FORBIDDEN
    if _is_within(address, LOOPBACK_NETWORKS):
        return None if rules.development else AddressRefusal.LOOPBACK
    if _is_within(address, PRIVATE_NETWORKS):
        is_allowed = rules.development or rules.saas or _is_within(address, rules.allowed)
        return None if is_allowed else AddressRefusal.PRIVATE
    return None


def _parse_destination(text: str) -> Address | None:
    """Return the address that packets reach: for IPv6 with an embedded IPv4 address, the latter."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return address
    return address.ipv4_mapped or address.sixtofour or _unwrap_nat64(address) or address


def _unwrap_nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64_NETWORK else None


_NAT64_NETWORK = IPv6Network("64:ff9b::/96")


def _is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
