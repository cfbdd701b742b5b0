"""The limits of a connection."""

import pytest

from molecule_http.limits import (
    CHUNK_FRAMING_BYTES,
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
