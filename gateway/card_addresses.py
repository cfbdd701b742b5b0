"""Hides the addresses of agents in what their cards say: clients reach an agent through the plane alone. Pure.

Hidden are URLs of the hosts of the card's own interfaces, and of hosts that only a machine beside the agent can reach:
loopback and private networks, names without a domain, and names of domains for local use. A text that is such a URL is
left out, and one that contains such a URL says `HIDDEN_ADDRESS` instead.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import unquote, urlsplit

from services.chassis.addresses import AddressRules, find_ip_refusal, is_ip_address, parse_endpoint

HIDDEN_ADDRESS = "(inside address)"
"""What stands for an address in the middle of a text."""

LOCAL_DOMAINS = (
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "home.arpa",
)
"""Domains that public DNS does not have."""

DATA_IMAGE = "data:image/"
"""The beginning of an image that is part of the card."""


def list_hosts(urls: Iterator[str]) -> frozenset[str]:
    """Return the hosts of addresses, and each host with its port where the address names one.

    An address may lack its scheme, as those of gRPC interfaces do.
    """
    hosts = set()
    for url in urls:
        authority = _cut_authority(url)
        try:
            host = urlsplit(f"//{authority}").hostname
        except ValueError:
            continue
        hosts |= {name for name in (authority.lower(), host) if name}
    return frozenset(hosts)


def is_shown(url: object, hidden: AbstractSet[str]) -> bool:
    """Whether clients may see a value that is to be a web address: an http or https URL of a public host."""
    if not isinstance(url, str) or parse_endpoint(url) is None:
        return False
    return hide_addresses(url, hidden) is not None


def hide_addresses(value: Any, hidden: AbstractSet[str]) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a JSON value without inside addresses and `hidden` hosts, or `None` if it is such an address itself."""
    if isinstance(value, str):
        return _hide_in_text(value, hidden)
    if isinstance(value, list):
        return [shown for item in value if (shown := hide_addresses(item, hidden)) is not None or item is None]
    if isinstance(value, dict):
        return dict(_hide_in_members(value, hidden))
    return value


_BEGINNING = r"(?:(?<![a-z0-9+.-])(?:https?|wss?):[/\\]*|[a-z0-9+.-]{0,20}:[/\\]{2,})"
_NO_END = r"[^\s<>\"'`]"

_AUTHORITY = re.compile(rf"{_BEGINNING}([^\s<>\"'`/\\?#]*)", re.IGNORECASE)
"""A URL in a text up to its path. Browsers take any number of slashes after `http:`, and backslashes for slashes."""

_URL = re.compile(rf"{_BEGINNING}{_NO_END}*", re.IGNORECASE)

_HOST_WITH_PORT = re.compile(r"(?<![\w.-])(?:[\w.-]+|\[[0-9a-fA-F:.]{2,45}\]):[0-9]{1,5}")


def _hide_in_members(source: dict[str, Any], hidden: AbstractSet[str]) -> Iterator[tuple[str, Any]]:
    for name, value in source.items():
        shown = hide_addresses(value, hidden)
        if _hide_in_text(name, hidden) == name and (shown is not None or value is None):
            yield name, shown


def _hide_in_text(text: str, hidden: AbstractSet[str]) -> str | None:
    """Return a text without inside addresses, or `None` if nothing else is in it."""
    if ":" not in text:  # the name of an agent may be that of its host
        return None if text in hidden and is_ip_address(text) else text
    shown = text if _is_public(text, hidden) else _URL.sub(lambda found: _hide_url(found[0], hidden), text)
    shown = _HOST_WITH_PORT.sub(lambda found: HIDDEN_ADDRESS if _is_inside(found[0], hidden) else found[0], shown)
    return None if shown.strip() == HIDDEN_ADDRESS else shown


def _is_inside(authority: str, hidden: AbstractSet[str]) -> bool:
    """Whether a host with a port is hidden, or an IP address that is not public."""
    host = authority.rpartition(":")[0].strip("[]")
    is_inside_address = is_ip_address(host) and find_ip_refusal(host, AddressRules()) is not None
    return authority.lower() in hidden or is_inside_address


def _hide_url(url: str, hidden: AbstractSet[str]) -> str:
    return url if _is_public(url, hidden) else HIDDEN_ADDRESS


def _is_public(text: str, hidden: AbstractSet[str]) -> bool:
    """Whether all URLs in a text lead to public hosts that are not hidden, those in the query of another one too."""
    readings = {text, unquote(text)} if "%" in text else {text}
    return all(_is_public_host(host, hidden) for reading in readings for host in _AUTHORITY.findall(reading))


def _is_public_host(authority: str, hidden: AbstractSet[str]) -> bool:
    """Whether an authority is a public host, perhaps with a port and the punctuation of a sentence. Users are none."""
    authority = authority.lower()
    host = authority if "@" in authority else _PUNCTUATION.split(authority, maxsplit=1)[0]
    if not host:
        return not authority
    name = _DOMAIN_NAME.fullmatch(host)
    if name is not None:
        return name[1] not in hidden and not name[1].endswith(_LOCAL_ENDINGS)
    endpoint = parse_endpoint(f"http://{host if '[' in host else host.rstrip('.:!]')}/")
    if endpoint is None or endpoint.host in hidden:
        return False
    if is_ip_address(endpoint.host):
        return find_ip_refusal(endpoint.host, AddressRules()) is None
    return "." in endpoint.host and not endpoint.host.endswith(_LOCAL_ENDINGS)


_DOMAIN_NAME = re.compile(r"((?:[a-z0-9_-]{1,63}\.)+[a-z]{2,63})[.:!\]]*(?::[0-9]{1,5})?")
"""A usual host with a port, so that most need no closer look."""

_PUNCTUATION = re.compile(r"[(),;|*{}]")
_LOCAL_ENDINGS = tuple(f".{domain}" for domain in LOCAL_DOMAINS)


def _cut_authority(url: str) -> str:
    """Return the host and port of an address that may lack its scheme, without the user."""
    rest = re.split(r"[/\\]{2,}", url.strip(), maxsplit=1)[-1]
    return re.split(r"[/\\?#]", rest, maxsplit=1)[0].rpartition("@")[2]
