"""Tests which of the oldest audit records are removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.audit_log import ChainExtent
from services.auth.rules.audit_retention import choose_last_removed


@st.composite
def extents(draw):
    first = draw(st.integers(1, 10**12))
    last = draw(st.integers(first, first + 50))
    return ChainExtent(first=first, last=last, first_young=draw(st.integers(first, last + 1)))


@pytest.mark.covers("LIM-08")
@given(extents(), st.integers(1, 60), st.integers(1, 60))
def test_records_are_removed_until_the_log_is_within_its_limits(extent, max_records, max_removed):
    through = choose_last_removed(extent, max_records=max_records, max_removed=max_removed)
    removed = through - extent.first + 1 if through else 0
    surplus = extent.last - extent.first + 1 - max_records
    old = extent.first_young - extent.first

    assert removed == min(max(surplus, old, 0), max_removed, extent.last - extent.first)


@pytest.mark.covers("LIM-08")
@pytest.mark.parametrize(
    ("extent", "through"),
    [((1, 9, 1), 0), ((1, 10, 1), 0), ((1, 12, 1), 2), ((5, 10, 8), 7), ((5, 6, 7), 5), ((1, 40, 1), 5)],
)
def test_examples(extent, through):
    first, last, first_young = extent
    found = ChainExtent(first=first, last=last, first_young=first_young)
    assert choose_last_removed(found, max_records=10, max_removed=5) == through
