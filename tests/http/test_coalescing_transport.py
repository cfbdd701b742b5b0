"""Data written in one turn of the event loop is sent as one packet by the end of the turn."""

import asyncio

import pytest

from molecule_http.coalescing_transport import MAX_COALESCED_BYTES, CoalescingTransport


class Wire(asyncio.Transport):
    """Notes each packet, and that it was closed."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.packets = []

    def write(self, data):
        self.packets.append(bytes(data))

    def close(self):
        self.packets.append("closed")

    def is_closing(self):
        return "closed" in self.packets


@pytest.fixture
async def wire():
    return Wire()


async def test_a_head_and_its_body_are_one_packet(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"head ")
    corked.write(b"body")
    assert wire.packets == []

    await asyncio.sleep(0)

    assert wire.packets == [b"head body"]


async def test_data_of_a_later_turn_is_a_packet_of_its_own(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"one")
    await asyncio.sleep(0)
    corked.write(b"two")
    await asyncio.sleep(0)

    assert wire.packets == [b"one", b"two"]


async def test_held_data_is_bounded(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"x" * MAX_COALESCED_BYTES)
    assert wire.packets == []
    corked.write(b"y")
    assert wire.packets == [b"x" * MAX_COALESCED_BYTES + b"y"]
    await asyncio.sleep(0)
    assert len(wire.packets) == 1


async def test_large_data_is_sent_at_once_after_held_data(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"head")
    corked.write(b"x" * (MAX_COALESCED_BYTES + 1))

    assert wire.packets == [b"head", b"x" * (MAX_COALESCED_BYTES + 1)]


async def test_held_data_is_sent_before_the_connection_closes(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"last words")
    corked.close()
    await asyncio.sleep(0)

    assert wire.packets == [b"last words", "closed"]


async def test_other_attributes_are_those_of_the_transport(wire):
    corked = CoalescingTransport(wire)
    assert corked.get_extra_info("peername") == ("127.0.0.1", 1)
    assert not corked.is_closing()
    corked.close()
    assert corked.is_closing()


async def test_data_for_a_connection_that_has_ended_is_dropped(wire):
    corked = CoalescingTransport(wire)
    corked.write(b"held")
    wire.close()
    corked.write(b"late")
    await asyncio.sleep(0)

    assert wire.packets == ["closed"]
