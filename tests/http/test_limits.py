"""The limits of a connection."""

import pytest

from molecule_http.limits import (
    CHUNK_FRAMING_BYTES,
    HIGH_WATER_BYTES,
    KEEP_ALIVE_SECONDS,
    WEBSOCKET_LINE_BYTES,
    ConnectionLimits,
    body_deadline,
    is_framing_excessive,
    max_connections,
    max_connections_per_address,
)

LIMITS = ConnectionLimits()


@pytest.mark.covers("EDGE-05")
def test_a_trickle_of_bytes_is_no_progress_of_a_body():
    deadline = 30.0
    for second in range(1, 100):
        deadline = body_deadline(deadline, second, 1, LIMITS)
    assert 30 < deadline < 31


@pytest.mark.covers("EDGE-05")
def test_a_body_at_a_fair_rate_may_take_any_time():
    deadline = 30.0
    for second in range(1, 1000):
        deadline = body_deadline(deadline, second, 600, LIMITS)
        assert deadline > second
    assert deadline <= 1000 + LIMITS.body_seconds


@pytest.mark.covers("EDGE-05")
def test_512_bytes_are_progress_of_a_second():
    assert body_deadline(10, 5, 512, LIMITS) == 11
    assert body_deadline(10, 5, 1024 * 1024, LIMITS) == 35


@pytest.mark.covers("EDGE-02")
@pytest.mark.parametrize("chunks", [0, 1, 100])
def test_framing_is_excessive_over_what_its_chunks_need(chunks):
    allowed = LIMITS.framing_bytes + chunks * CHUNK_FRAMING_BYTES
    assert not is_framing_excessive(allowed, chunks, LIMITS)
    assert is_framing_excessive(allowed + 1, chunks, LIMITS)


@pytest.mark.covers("EDGE-07")
@pytest.mark.parametrize(
    ("descriptors", "total"), [(1, 1), (64, 1), (65, 1), (66, 2), (256, 192), (1024, 896), (65536, 57344)]
)
def test_connections_leave_descriptors_for_the_process(descriptors, total):
    assert max_connections(descriptors) == total


@pytest.mark.covers("EDGE-06")
@pytest.mark.parametrize(("total", "of_address"), [(1, 1), (3, 1), (192, 96), (2048, 1024), (57344, 1024)])
def test_an_address_has_at_most_half_of_all_connections(total, of_address):
    assert max_connections_per_address(total, LIMITS) == of_address


@pytest.mark.covers("EDGE-02")
def test_the_sizes_are_those_of_the_contract():
    kib = 1024
    assert (LIMITS.target_bytes, LIMITS.field_bytes, LIMITS.fields) == (16 * kib, 64 * kib, 128)
    assert (LIMITS.framing_bytes, CHUNK_FRAMING_BYTES, LIMITS.waiting_requests) == (16 * kib, 32, 32)
    assert (HIGH_WATER_BYTES, LIMITS.discarded_bytes) == (64 * kib, 16 * kib * kib)
    assert WEBSOCKET_LINE_BYTES == 8000  # the WebSocket library fails at 8192


@pytest.mark.covers("EDGE-03", "EDGE-05")
def test_the_times_are_those_of_the_contract():
    assert (LIMITS.head_seconds, LIMITS.body_seconds, LIMITS.linger_seconds) == (30, 30, 2)
    assert (KEEP_ALIVE_SECONDS, LIMITS.idle_seconds) == (75, 80)
    assert LIMITS.connections_per_address == 1024
