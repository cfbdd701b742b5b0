"""Which addresses may be dialled on a stranger's word (docs/spec/rest.md, 5.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
"""Characters of the longest address that is looked at."""

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
"""Refused in every mode: nothing anybody serves is there, and metadata services are."""

LOOPBACK_NETWORKS: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
"""This machine: allowed in development only."""

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
)
"""Private networks: allowed in development, in SaaS mode, and where the operator lists them."""


class AddressRefusal(StrEnum):
    """Why an address may not be dialled."""

    MALFORMED = "not an absolute http or https URL"
    UNRESOLVABLE = "the host cannot be resolved"
    FORBIDDEN = "the host resolves to an address that is never allowed"
    LOOPBACK = "the host resolves to this machine"
    PRIVATE = "the host resolves to a private network"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What the mode and the operator allow."""

    development: bool = False
    saas: bool = False
    allowed: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a URL leads: the host to resolve, and the port."""

    host: str
    port: int


def parse_endpoint(url: str) -> Endpoint | None:
    """Host and port of a URL; `None` if it is not one."""
    if len(url) > MAX_URL_LENGTH or any(not (" " < letter <= "~") for letter in url):
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
    """Why a host with these resolved addresses may not be dialled; `None` if it may.

    One bad address among several is enough: which of them is dialled is not ours to choose.
    """
    verdicts = [find_ip_refusal(text, rules) for text in resolved]
    if not verdicts:
        return AddressRefusal.UNRESOLVABLE
    return next((verdict for verdict in verdicts if verdict is not None), None)


def find_ip_refusal(text: str, rules: AddressRules) -> AddressRefusal | None:
    """The same for one resolved address."""
    address = _plain(text)
    if address is None or _within(address, FORBIDDEN_NETWORKS):
        return AddressRefusal.FORBIDDEN
    if _within(address, LOOPBACK_NETWORKS):
        return None if rules.development else AddressRefusal.LOOPBACK
    if _within(address, PRIVATE_NETWORKS):
        allowed = rules.development or rules.saas or _within(address, rules.allowed)
        return None if allowed else AddressRefusal.PRIVATE
    return None


def _plain(text: str) -> Address | None:
    """The address that packets would go to: IPv4 inside IPv6 is IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return address
    return address.ipv4_mapped or address.sixtofour or _nat64(address) or address


def _nat64(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


_NAT64 = IPv6Network("64:ff9b::/96")


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
