import socket

import pytest
from aiohttp.abc import AbstractResolver

from services.a2a_proxy.tasks.webhooks import MALFORMED, REFUSED, Webhooks
from services.chassis.addresses import AddressRules

PRODUCTION = AddressRules()

ADDRESSES = {
    "public.example": ["8.8.8.8", "2606:4700::1111"],
    "inside.example": ["10.0.0.1"],
    "mixed.example": ["8.8.8.8", "169.254.169.254"],
}


class KnownNames(AbstractResolver):
    """Resolves a few names, and counts the look-ups."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.is_closed = False

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        self.looked_up.append(host)
        if host not in ADDRESSES:
            raise OSError("unknown name")
        return [
            {"hostname": host, "host": found, "port": port, "family": 0, "proto": 0, "flags": 0}
            for found in ADDRESSES[host]
        ]

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://public.example/hook?x=1", ""),
        ("http://8.8.8.8:8080/", ""),
        ("http://inside.example/", REFUSED),
        ("http://mixed.example/", REFUSED),
        ("http://unknown.example/", REFUSED),
        ("http://127.0.0.1/", REFUSED),
        ("http://[::ffff:10.0.0.1]/", REFUSED),
        ("http://127.1/", MALFORMED),
        ("ftp://public.example/", MALFORMED),
        ("http://user@public.example/", MALFORMED),
        ("public.example", MALFORMED),
    ],
)
async def test_an_address_counts_by_all_that_its_name_resolves_to(url, fault):
    async with Webhooks(PRODUCTION, KnownNames()) as webhooks:
        assert await webhooks.find_fault([url]) == fault
        assert await webhooks.find_fault(["https://public.example/", url]) == fault


async def test_nothing_is_looked_up_that_needs_no_look_up():
    names = KnownNames()
    async with Webhooks(AddressRules(development=True), names) as webhooks:
        assert await webhooks.find_fault([]) == ""
        assert await webhooks.find_fault(["http://127.0.0.1:9/"]) == ""
        assert await webhooks.find_fault(["nonsense"]) == MALFORMED

    assert (names.looked_up, names.is_closed) == ([], True)
