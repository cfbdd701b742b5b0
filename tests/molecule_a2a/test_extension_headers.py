"""The headers that the extensions of a card name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.extension_headers import (
    MAX_EXTENSIONS,
    MAX_NAME_LENGTH,
    MAX_NAMES,
    MAX_VALUE_LENGTH,
    is_extension_value,
    may_be_extension_header,
    read_extension_headers,
)
from tests.molecule_a2a.objects import junk


def read(*extensions) -> tuple[str, ...]:
    return read_extension_headers({"capabilities": {"extensions": list(extensions)}})


@pytest.mark.parametrize(
    "extension",
    [
        {"params": {"header": "X-Tenant"}},
        {"params": {"headerName": "x-tenant"}},
        {"params": {"headers": ["X-Tenant"]}},
        {"params": {"requiredHeaders": [{"name": "X-Tenant", "required": True}]}},
        {"params": {"headers": {"X-Tenant": "the tenant"}}},
        {"params": {"http_headers": {"name": "X-Tenant", "description": "the tenant"}}},
        {"description": "Clients send `X-Tenant`, the tenant."},
    ],
)
def test_an_extension_names_a_header_in_the_usual_ways(extension):
    assert read({"uri": "https://e.test/1", **extension}) == ("x-tenant",)


def test_names_are_kept_once_in_the_order_of_the_card():
    first, second = {"params": {"headers": ["X-B", "X-A"]}}, {"description": "x-a or X-C", "params": {"other": "X-D"}}
    assert read(first, second) == ("x-b", "x-a", "x-c")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "host",
            "x-molecule-caller",
            "x-molecule-hops",
        ),
        *("connection", "transfer-encoding", "te", "upgrade", "content-type", "content-length", "a2a-version"),
        *("x-a2a-extensions", "x-api-key", "x-auth-user", "x-access-token", "x-client-secret", "x-forwarded-for"),
        *("x-workspace-id", "x-timeout", "traceparent", "accept", "sec-fetch-site", "grpc-timeout", "x-real-ip"),
        *("", "x y", "x:y", "x\r\ny", "x-\u00e9", "-x", "\u00b2", "x" * (MAX_NAME_LENGTH + 1)),
    ],
)
def test_headers_with_another_meaning_and_credentials_are_refused(name):
    assert not may_be_extension_header(name)
    assert read({"params": {"headers": [name]}}) == ()


@pytest.mark.parametrize("name", ["x-tenant", "x-amzn-bedrock-agentcore-runtime-session-id", "traceability", "x" * 64])
def test_other_headers_may_be_named(name):
    assert may_be_extension_header(name)


def test_a_card_is_read_up_to_the_limits():
    many = [f"x-{number}" for number in range(MAX_NAMES + 1)]
    assert read({"params": {"headers": many}}) == tuple(many[:MAX_NAMES])
    assert read(*[{} for _ in range(MAX_EXTENSIONS)], {"params": {"header": "x-late"}}) == ()
    assert read(*[{} for _ in range(MAX_EXTENSIONS - 1)], {"params": {"header": "x-late"}}) == ("x-late",)


@pytest.mark.parametrize(
    ("value", "may_travel"),
    [
        *(("v", True), ("a b", True), ("v" * MAX_VALUE_LENGTH, True)),
        *(("", False), ("v" * (MAX_VALUE_LENGTH + 1), False), ("a\nb", False), ("\u00e9", False)),
    ],
)
def test_values_are_printable_ascii_of_moderate_length(value, may_travel):
    assert is_extension_value(value) is may_travel


@given(st.lists(junk), junk)
def test_any_card_can_be_read(extensions, card):
    assert len(read(*extensions, {"params": {"headers": extensions}})) <= MAX_NAMES
    assert read_extension_headers(card) == () or isinstance(card, dict)
