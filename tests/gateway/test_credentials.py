"""What a request shows: examples and laws."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import credentials
from gateway.credentials import Credential
from gateway.errors import MissingCsrfToken

SESSION = "s" * 43
COOKIE = (b"cookie", f"molecule_session={SESSION}".encode())
CSRF = (b"x-csrf-token", credentials.derive_csrf_token(SESSION).encode())
BEARER = (b"authorization", b"Bearer b")

WRITING = ["POST", "PUT", "PATCH", "DELETE"]

names = st.sampled_from([b"cookie", b"authorization", b"x-csrf-token", b"x-workspace-id"])
headers = st.lists(st.tuples(names, st.binary(max_size=60) | st.just(COOKIE[1]) | st.just(b"Bearer b")), max_size=6)
methods = st.sampled_from([*WRITING, "GET", "HEAD", "OPTIONS"])


@pytest.mark.parametrize("method", WRITING)
def test_a_write_by_cookie_needs_the_csrf_token_of_its_session(method):
    assert credentials.read_credential(method, [COOKIE, CSRF]) == Credential(session=SESSION)
    foreign = (b"x-csrf-token", credentials.derive_csrf_token("another").encode())
    for lacking in ([COOKIE], [COOKIE, foreign], [COOKIE, (b"x-csrf-token", b"")], [COOKIE, foreign, CSRF]):
        with pytest.raises(MissingCsrfToken, match=r"^csrf token missing or wrong$"):
            credentials.read_credential(method, lacking)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_read_by_cookie_needs_no_csrf_token(method):
    assert credentials.read_credential(method, [COOKIE]) == Credential(session=SESSION)


@pytest.mark.parametrize("method", [*WRITING, "GET"])
def test_a_bearer_counts_before_a_cookie_and_needs_no_csrf_token(method):
    assert credentials.read_credential(method, [COOKIE, BEARER]) == Credential("b")


@pytest.mark.parametrize(
    ("value", "session"),
    [
        (b"molecule_session=abc", "abc"),
        (b"theme=dark; molecule_session=abc; x=y", "abc"),
        (b"molecule_session=first; molecule_session=second", "first"),
        (b"molecule_session=", None),
        (b"molecule_session", None),
        (b"not_molecule_session=abc", None),
        (b"molecule_session=" + b"x" * 100, "x" * 64),
        (b"molecule_session=\xff", "\xff"),
    ],
)
def test_the_session_is_found_in_the_cookies(value, session):
    assert credentials.parse_session([(b"cookie", value)]) == session


@given(methods, headers)
def test_any_header_gives_a_credential_or_the_declared_error(method, sent):
    try:
        found = credentials.read_credential(method, sent)
    except MissingCsrfToken:
        return
    assert found.bearer is None or found.session is None


@given(st.text(min_size=1), st.text(min_size=1))
def test_csrf_tokens_differ_and_do_not_contain_their_session(one, other):
    token = credentials.derive_csrf_token(one)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert (token == credentials.derive_csrf_token(other)) == (one == other)


def test_the_repr_of_a_credential_hides_its_secret():
    assert SESSION not in repr(Credential("b", SESSION))


def test_a_session_cookie_is_restricted_to_this_plane():
    told = credentials.render_session_cookie("abc", seconds=60, secure=True)
    assert told == "molecule_session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
    assert credentials.render_session_cookie("abc", seconds=60, secure=False) == told.removesuffix("; Secure")
