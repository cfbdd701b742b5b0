"""Every parser of untrusted bytes returns a value or raises its declared error, for any input.

Multipart bodies are not tested, because the plane accepts no files from callers.
"""

import json
from contextlib import suppress
from ipaddress import ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from gateway import agent_cards, credentials, extended_card, limits, message_request, query_params, request_context
from gateway.cors import CorsPolicy
from gateway.credentials import parse_bearer, parse_claimed_workspace
from gateway.hosts import HostPolicy
from gateway.ids import parse_workspace_id
from gateway.proxy_headers import ProxyHeaders
from gateway.request_body import BodySpec, encode_agent_card, parse_json
from gateway.schemas import agents, approvals, budgets, entries, memories, models, secrets, templates, workspaces
from gateway.schemas.request_model import RequestModel
from services.a2a_proxy import envelope
from services.a2a_proxy.errors import MalformedMessage
from services.auth.errors import SecretUnreadable
from services.auth.rules import token_text
from services.auth.vault.sealing import Sealer
from services.chassis import addresses, pages
from services.chassis.addresses import AddressRules
from services.chassis.errors import ServiceError
from services.chassis.pages import InvalidPageToken
from services.registry.errors.workspaces import CardTooLarge, InvalidBody
from services.registry.workspace import validation

NAMES = st.sampled_from(
    [
        "authorization",
        "x-workspace-id",
        "host",
        "origin",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "traceparent",
        "cookie",
        "last-event-id",
        "a2a-version",
        "content-length",
    ]
)

VALUES = st.one_of(
    st.binary(max_size=80),
    st.text(st.characters(max_codepoint=255), max_size=80).map(lambda text: text.encode("latin-1")),
    st.sampled_from(
        [b"Bearer ", b"Bearer \xff", b"[:::1]", b"[::1", b"http://[", b"http://[::1", b"a, b,,c", b"//[x]:99999"]
    ),
)

HEADERS = st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=8)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)

KEYS = st.sampled_from(
    [
        "jsonrpc",
        "id",
        "method",
        "params",
        "message",
        "parts",
        "content",
        "messageId",
        "result",
        "url",
        "name",
        "skills",
        "capabilities",
        "agent_card",
        "key",
        "value",
        "supportedInterfaces",
        "protocolVersion",
        "additionalInterfaces",
        "preferredTransport",
        "runtime_metadata",
        "securitySchemes",
        "extensions",
        "version",
        "workspace_id",
    ]
)

OBJECTS = st.recursive(
    JSON
    | st.sampled_from(["message/send", "SendMessage", "agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)

DEEP = b"[" * 100_000 + b"]" * 100_000

BODIES = st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
BODIES |= OBJECTS.map(lambda value: json.dumps(value).encode())

SHAPES = [
    shape
    for module in (agents, approvals, budgets, entries, memories, models, secrets, templates, workspaces)
    for shape in vars(module).values()
    if isinstance(shape, type) and issubclass(shape, RequestModel) and shape is not RequestModel
]


def scope(headers, path="/workspaces/x/a2a", query=b""):
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "scheme": "http",
        "headers": headers,
    } | {
        "client": ("192.0.2.1", 1),
        "server": ("127.0.0.1", 8080),
    }


@given(HEADERS)
def test_any_headers_can_be_parsed(headers):
    parse_bearer(headers)
    parse_claimed_workspace(headers)
    with suppress(ServiceError):
        credentials.read_credential("POST", headers)
    passage = request_context.read_request_context(scope(headers))
    assert request_context.REQUEST_ID_PATTERN.fullmatch(passage.request_id)
    assert all(value.isascii() for value in message_request.select_forwarded_headers(scope(headers)).values())


@given(HEADERS)
@example([(b"host", b"[:::::]")])
@example([(b"host", b"[::1]:99999")])
def test_any_origin_and_forwarded_address_can_be_checked(headers):
    for trusted in ((), (ip_network("0.0.0.0/0"),)):
        forwarded = ProxyHeaders(trusted, "")
        limits.client_bucket_key(forwarded.client_address(scope(headers)))
        own = forwarded.request_url(scope(headers))
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        for origin in (*origins, own):
            CorsPolicy([], "", HostPolicy([])).allows(origin, own)


@given(BODIES)
@example(DEEP)
def test_any_body_can_be_parsed(raw):
    for shape in SHAPES:
        with suppress(ServiceError):
            BodySpec(model=shape).parse(raw)


@given(BODIES)
@example(DEEP)
def test_any_registered_card_can_be_parsed(raw):
    with suppress(InvalidBody, CardTooLarge):
        validation.parse_card(raw)
    with suppress(ServiceError, ValueError):
        read = parse_json(raw)
        if isinstance(read, dict):
            encode_agent_card(read)


@given(OBJECTS, st.text(max_size=8))
def test_any_card_can_be_served(card, version):
    agent_cards.accepts_current_only(version)
    if isinstance(card, dict):
        for form in (agent_cards.render_hybrid_card, agent_cards.render_current_card):
            form(card, url="https://plane.example/a2a", bearer_needed=True)


@given(BODIES, BODIES)
@example(DEEP, DEEP)
def test_any_extended_card_can_be_forwarded(request_body, answer):
    if extended_card.may_hold_card(request_body):
        reply = extended_card.Reply(status=200, headers={}, body=answer)
        extended_card.rewrite_reply(
            request_body, reply, version="", url="https://plane.example/a2a", bearer_needed=True
        )


@given(BODIES, st.one_of(st.text(max_size=30), st.sampled_from(["0.3", "1.0", "1.0.0", "99", "1." + "9" * 5000])))
@example(DEEP, "")
def test_any_envelope_can_be_parsed(raw, version):
    with suppress(MalformedMessage):
        envelope.parse(raw, version=version, entropy=bytes(32))


@given(st.text(max_size=30))
def test_any_retry_after_can_be_parsed(text):
    with suppress(MalformedMessage):
        envelope.parse_timeout(text)


@given(st.text(max_size=80), st.integers(1, 4))
@example("W1siYSJd" * 20_000, 1)
def test_any_page_token_can_be_parsed(text, width):
    with suppress(InvalidPageToken):
        assert len(pages.decode_page_token(text, width)) == width


@given(st.text(max_size=40) | st.integers().map(str))
@example("9" * 100_000)
@example("٣")
def test_any_number_in_a_query_and_any_event_id_can_be_parsed(text):
    assert query_params.parse_natural_number(text) is None or query_params.parse_natural_number(text) >= 0
    assert 1 <= query_params.parse_limit(text, maximum=500, default=100) <= 500


@given(st.text(max_size=60))
@example("{" + "0" * 34 + "}")
@example("urn:uuid:" + "0" * 27)
def test_any_id_in_a_path_can_be_parsed(text):
    for read in (parse_workspace_id, message_request.parse_target_id):
        with suppress(ServiceError):
            assert len(read(text)) == 36


@given(st.one_of(st.text(max_size=60), st.sampled_from(["http://[", "http://[::1", "http://a:99999", "http://\x00"])))
def test_any_address_can_be_parsed(text):
    addresses.parse_endpoint(text)
    addresses.find_ip_refusal(text, AddressRules(development=False, saas=False))


@given(st.text(max_size=60))
def test_any_bearer_can_be_parsed(text):
    assert len(token_text.digest_token(text)) == 32
    token_text.is_well_formed(text)


@given(st.text(max_size=60))
@example("1:")
@example("1:" + "A" * 64)
def test_any_sealed_value_can_be_opened_or_refused(text):
    with suppress(SecretUnreadable):
        Sealer.parse("0123456789abcdef0123456789abcdef").open(text, owner="o", name="n")
