import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.dialects import cut_patch, find_dialect, read_dialect
from molecule_a2a.errors import ConversionFailed
from molecule_a2a.model import Dialect
from tests.molecule_a2a.objects import junk, many

LEGACY, CURRENT = Dialect.LEGACY, Dialect.CURRENT


def read(*, header="", query="", method="vendor"):
    return read_dialect(header=header, query=query, method=method)


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ("1", CURRENT),
        ("1.0", CURRENT),
        ("1.0.1", CURRENT),
        ("1.7", CURRENT),
        ("1." + "0" * 18, CURRENT),
        ("0.3", LEGACY),
        ("0.3.0", LEGACY),
        ("0.2", LEGACY),
        ("0.2.6", LEGACY),
    ],
)
def test_a_version_belongs_to_a_dialect(version, dialect):
    assert find_dialect(version) is dialect
    assert read(header=f" {version} ") is dialect
    assert read(query=f"A2A-Version={version}") is dialect


@pytest.mark.parametrize(
    "version",
    ["0", "2", "2.0", "99.0", "x", "1.", "1.x", ".3", "1.0.", "1.0.0.0", "-1.0", "1.²", "1.0, 0.3", "1." + "0" * 19],
)
def test_another_version_is_not_served(version):
    assert find_dialect(version) is None
    with pytest.raises(ConversionFailed) as found:
        read(header=version, method="SendMessage")
    assert found.value.code == -32009
    assert found.value.text == f"A2A version {version[:20]!r} is not supported"
    assert str(found.value) == found.value.text


@pytest.mark.parametrize(
    ("method", "dialect"),
    [
        ("message/send", LEGACY),
        ("SendMessage", CURRENT),
        ("vendor/method", LEGACY),
        ("Vendor/Method", LEGACY),
        ("VendorMethod", CURRENT),
        ("vendor", LEGACY),
        ("", LEGACY),
        (None, LEGACY),
        (["SendMessage"], LEGACY),
    ],
)
def test_the_method_decides_without_a_version(method, dialect):
    assert read(method=method) is dialect
    assert read(header=" ", query="A2A-Version=", method=method) is dialect


def test_the_header_comes_before_the_query_and_the_query_before_the_method():
    assert read(header="1.0", query="A2A-Version=0.3", method="message/send") is CURRENT
    assert read(query="A2A-Version=1.0", method="message/send") is CURRENT
    assert read(query="historyLength=0&A2A-Version=0.3&A2A-Version=1.0", method="SendMessage") is LEGACY
    assert read(query="xA2A-Version=1.0&a=A2A-Version", method="message/send") is LEGACY


def test_the_query_is_refused_like_the_header():
    with pytest.raises(ConversionFailed, match=r"A2A version '9\.9' is not supported"):
        read(query="a=b&A2A-Version=9.9")


@pytest.mark.parametrize(
    ("version", "cut"), [("1", "1.0"), ("0.3.0", "0.3"), ("1.0", "1.0"), ("1.0.1.2", "1.0"), ("x", "x"), ("", "")]
)
def test_the_patch_is_cut_off(version, cut):
    assert cut_patch(version) == cut


@many
@given(st.text(max_size=9), st.text(max_size=9) | st.just("A2A-Version=%ff%"), junk)
def test_any_caller_has_a_dialect_or_is_refused(header, query, method):
    with contextlib.suppress(ConversionFailed):
        assert read(header=header, query=query, method=method) in Dialect
