"""Decides which addresses users may register and the plane may connect to (docs/spec/rest.md, 5.2)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
"""Characters of the longest URL that is parsed."""

METADATA_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:a9fe:a9fe::/48",
        "fd00:42::42/128",
        "fd20:ce::254/128",
    )
)
"""Where clouds serve credentials to their machines; no setting allows one. Some lie in networks that a mode allows."""

FORBIDDEN_NETWORKS: tuple[Network, ...] = METADATA_NETWORKS + tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
"""Refused in every mode: networks that are not globally routable, or lead through a tunnel to another address."""

GLOBAL_UNICAST_NETWORK = IPv6Network("2000::/3")
"""All IPv6 addresses that are assigned for global use; the rest is refused, but for the networks of the modes."""

NAT64_NETWORK = IPv6Network("64:ff9b::/96")
"""Its addresses stand for the IPv4 address in their last 32 bits, and are checked as that one."""

LOOPBACK_NETWORKS: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
"""Allowed in development only."""

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
)
"""Allowed in development, in SaaS mode, and where the operator lists them."""

HOST_NAME = re.compile(r"(?!.{254})([a-z0-9_]([a-z0-9_-]{0,62})\.)*[a-z0-9_][a-z0-9_-]{0,62}")
"""A name in lower case, without a final dot."""

BRACKETED_HOST = re.compile(r"\[[^\]]*\](:[0-9]*)?")
"""An IPv6 address in a URL, and a port. Other text after the bracket is ignored by some programs."""

NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of a host that resolvers may read as an IPv4 address, in decimal, octal or hexadecimal."""


class AddressRefusal(StrEnum):
    """Why an address is refused."""

    MALFORMED = "not an absolute http or https URL"
    UNRESOLVABLE = "the host cannot be resolved"
    FORBIDDEN = "the host resolves to an address that is never allowed"
    LOOPBACK = "the host resolves to this machine"
    PRIVATE = "the host resolves to a private network"
    PLANE = "the address is that of the plane itself"


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
    """Return the host and port of an absolute http or https URL; `None` for any other text.

    The host is a name or an IP address in its usual form: others, like `127.1`, mean different hosts to different
    programs. For the same reason the URL has neither credentials nor a backslash.
    """
    if len(url) > MAX_URL_LENGTH or any(not (" " < character <= "~") or character == "\\" for character in url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or not _is_host(host):
        return None
    has_bracket = "[" in parts.netloc
    if has_bracket is not (":" in host) or (has_bracket and not BRACKETED_HOST.fullmatch(parts.netloc)):
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
    return None if _is_global(address) else AddressRefusal.FORBIDDEN


def is_loopback(text: str) -> bool:
    """Whether an address is one of this machine's own."""
    address = _parse_destination(text)
    return address is not None and _is_within(address, LOOPBACK_NETWORKS)


def are_same(text: str, other: str) -> bool:
    """Whether two texts stand for one address, also if one of them embeds it in an IPv6 address."""
    address = _parse_destination(text)
    return address is not None and address == _parse_destination(other)


def is_ip_address(host: str) -> bool:
    """Whether a host is an IP address instead of a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    """Whether a host is an IP address in its usual form and without a zone, or a name that is no number."""
    if is_ip_address(host):
        return "%" not in host
    return HOST_NAME.fullmatch(host) is not None and not NUMBER.fullmatch(host.rpartition(".")[2])


def _parse_destination(text: str) -> Address | None:
    """Return the address that packets reach: for IPv6 with an embedded IPv4 address, the latter. Zones are none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64_NETWORK:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None if address.scope_id else address.ipv4_mapped or address


def _is_global(address: Address) -> bool:
    """Whether an address is globally routable, and belongs to one machine."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST_NETWORK:
        return False
    return address.is_global and not address.is_multicast


def _is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
