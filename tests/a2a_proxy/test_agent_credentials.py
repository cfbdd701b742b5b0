"""The plane fulfils what the card of an agent requires, with the secrets of its workspace."""

import json

import grpc
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from protos.registry.v1.registry_pb2 import AgentInterface, AgentSecurity, SecurityAlternative, SecurityScheme
from services.a2a_proxy import agent_credentials
from services.a2a_proxy.agent_client import Dispatch
from services.a2a_proxy.agent_credentials import build_credential
from services.a2a_proxy.model import NO_CREDENTIAL, AgentCredential
from services.a2a_proxy.model import SecurityScheme as Scheme
from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.fake_gateway import TARGET, decode_details, message_body
from tests.a2a_proxy.test_conversion import ask, current_message, read_events, request
from tests.a2a_proxy.test_grpc_agents import ScriptedAgent, serve_rpcs
from tests.agents import EchoAgent, MisbehavingAgent, serve_agent
from tests.waiting import eventually

KEY = "A2A_CREDENTIAL_K"
BEARER = "A2A_CREDENTIAL_B"
MARKER = "marker-of-a-credential"
SCHEMES = {
    "header": SecurityScheme(name="k", kind="api_key_header", parameter="X-Key", secret_key=KEY),
    "query": SecurityScheme(name="k", kind="api_key_query", parameter="k y", secret_key=KEY),
    "cookie": SecurityScheme(name="k", kind="api_key_cookie", parameter="crumb", secret_key=KEY),
    "bearer": SecurityScheme(name="b", kind="http_bearer", secret_key=BEARER),
    "basic": SecurityScheme(name="b", kind="http_basic", secret_key=BEARER),
    "oauth2": SecurityScheme(name="o", kind="oauth2"),
}


def require(*alternatives: tuple[str, ...], required: bool = True) -> AgentSecurity:
    return AgentSecurity(
        required=required,
        alternatives=[SecurityAlternative(schemes=[SCHEMES[name] for name in names]) for names in alternatives],
    )


class KeyedAgent(EchoAgent):
    """Requires an API key in a header, and admits everything once it has it."""

    key = MARKER
    status = 401

    async def reply(self, request: web.Request, message: dict) -> web.StreamResponse:
        if request.headers.get("X-Key") == self.key:
            return await super().reply(request, message)
        return web.json_response({"error": "a key is missing"}, status=self.status)


def offer(proxy, agent, security: AgentSecurity, binding: str = "JSONRPC", **fields) -> None:
    interface = AgentInterface(url=agent.url, binding=binding, version="1.0")
    proxy.registry.set_workspace(
        TARGET, **{"address": agent.url, "interfaces": [interface], "agent_security": security} | fields
    )


@pytest.mark.parametrize(
    ("name", "read", "sent"),
    [
        ("header", lambda request: request.headers.get("X-Key"), MARKER),
        ("query", lambda request: request.query.get("k y"), MARKER),
        ("cookie", lambda request: request.cookies.get("crumb"), MARKER),
        ("bearer", lambda request: request.headers.get("Authorization"), f"Bearer {MARKER}"),
        ("basic", lambda request: request.headers.get("Authorization"), "Basic dXNlcjpwYXNz"),
    ],
)
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_each_scheme_is_fulfilled_where_the_card_wants_it(proxy, gateway, binding, name, read, sent):
    proxy.vault.credentials = {KEY: MARKER, BEARER: "user:pass" if name == "basic" else f"{MARKER}\n"}
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require((name,)), binding)
        await gateway.send_message(current_message("hi"))

    assert [read(request) for request in agent.requests] == [sent]
    assert agent.requests[0].headers.getall("Authorization") == [sent if name in {"bearer", "basic"} else INBOUND]


INBOUND = "Bearer the-inbound-secret"


async def test_credentials_reach_an_agent_of_grpc_as_metadata(proxy, gateway):
    proxy.vault.credentials = {KEY: MARKER, BEARER: "b"}
    agent = ScriptedAgent()
    async with serve_rpcs(agent) as address:
        interface = AgentInterface(url=address, binding="GRPC", version="1.0")
        security = require(("header", "bearer"))
        proxy.registry.set_workspace(
            TARGET, address=f"http://{address}", interfaces=[interface], agent_security=security
        )
        await ask(gateway, request("GetTask", {"id": "T"}))

    assert (agent.metadata["x-key"], agent.metadata["authorization"]) == (MARKER, "Bearer b")


class StrictRpcAgent(ScriptedAgent):
    """Refuses every RPC as not authenticated."""

    async def GetTask(self, request, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a key is missing")


async def test_the_refusal_of_an_agent_of_grpc_reaches_the_caller(proxy, gateway):
    async with serve_rpcs(StrictRpcAgent()) as address:
        interface = AgentInterface(url=address, binding="GRPC", version="1.0")
        proxy.registry.set_workspace(
            TARGET, address=f"http://{address}", interfaces=[interface], agent_security=require(("header",))
        )
        found = await ask(gateway, request("GetTask", {"id": "T"}))

    assert "a key is missing" in json.dumps(found["error"])


async def test_queued_streamed_and_card_requests_carry_the_credential(proxy, gateway):
    proxy.vault.credentials = {KEY: MARKER}
    async with serve_agent(KeyedAgent()) as agent:
        offer(proxy, agent, require(("header",)))
        queued = json.loads(
            (await gateway.send_message(current_message("later"), headers={"prefer": "respond-async"})).head.body
        )

        async def is_delivered() -> bool:
            async with proxy.queue.begin() as tx:
                return (await tx.get(queued["queue_id"])).state is MessageState.COMPLETED

        await eventually(is_delivered)
        events = await read_events(gateway, message_body("SendStreamingMessage", message_id="m-2"))
        await ask(gateway, request("GetExtendedAgentCard", {}))

    assert len(events) == 3
    assert {request.headers.get("X-Key") for request in agent.requests} == {MARKER}
    assert len(agent.requests) == 3


async def test_the_first_alternative_whose_secrets_are_set_is_fulfilled(proxy, gateway):
    proxy.vault.credentials = {BEARER: "b"}
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require(("oauth2",), ("header", "bearer"), ("bearer",)))
        await gateway.send_message(current_message("hi"))

    assert agent.requests[0].headers.getall("Authorization") == ["Bearer b"]
    assert "X-Key" not in agent.requests[0].headers


async def test_without_its_secret_the_refusal_of_the_agent_reaches_the_caller(proxy, gateway):
    for status in (401, 403):
        async with serve_agent(KeyedAgent()) as agent:
            agent.status = status
            offer(proxy, agent, require(("header",)))
            head = (await gateway.send_message(message_body("SendMessage"))).head

        assert (head.status, json.loads(head.body)) == (status, {"error": "a key is missing"})


async def test_an_agent_that_requires_nothing_costs_no_question(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require(("oauth2",)))
        await gateway.send_message(current_message("hi"))

    assert proxy.vault.asked == []


async def test_auth_is_asked_once_for_many_messages_and_again_in_another_generation(proxy, gateway):
    proxy.vault.credentials = {KEY: MARKER}
    async with serve_agent(KeyedAgent()) as agent:
        offer(proxy, agent, require(("header",)))
        for _ in range(5):
            await gateway.send_message(message_body("SendMessage"))
        assert proxy.vault.asked == [TARGET]
        offer(proxy, agent, require(("header",)), generation=2)

        async def asks_again() -> bool:
            await gateway.send_message(message_body("SendMessage"))
            return len(proxy.vault.asked) > 1

        await eventually(asks_again)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_is_asked_for_again_and_the_message_is_sent_once_more(proxy, gateway, status):
    proxy.vault.credentials = {KEY: "old"}
    async with serve_agent(KeyedAgent()) as agent:
        agent.status = status
        offer(proxy, agent, require(("header",)))
        await gateway.send_message(message_body("SendMessage"))
        proxy.vault.credentials = {KEY: MARKER}

        async def is_answered() -> bool:
            return (await gateway.send_message(message_body("SendMessage"))).head.status == 200

        await eventually(is_answered)

    assert [request.headers["X-Key"] for request in agent.requests][-2:] == ["old", MARKER]


async def test_what_auth_told_before_is_used_while_it_is_unavailable(proxy, gateway, monkeypatch):
    monkeypatch.setattr(agent_credentials, "CACHE_SECONDS", 0.0)
    proxy.vault.credentials = {KEY: MARKER}
    async with serve_agent(KeyedAgent()) as agent:
        offer(proxy, agent, require(("header",)))
        await gateway.send_message(message_body("SendMessage"))
        proxy.vault.is_unavailable = True

        assert (await gateway.send_message(message_body("SendMessage"))).head.status == 200


async def test_nothing_is_sent_while_auth_does_not_tell_what_the_agent_requires(proxy, gateway):
    proxy.vault.is_unavailable = True
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require(("header",)))
        refused = (await gateway.send_message(current_message("hi"))).refused
        queued = await gateway.send_message(message_body("SendMessage"), headers={"prefer": "respond-async"})
        assert queued.head.status == 202
        assert agent.requests == []
        proxy.vault.is_unavailable = False
        proxy.vault.credentials = {KEY: MARKER}

        async def is_delivered() -> bool:
            return len(agent.requests) == 1

        await eventually(is_delivered)

    assert refused.reason == "AGENT_CREDENTIAL_UNAVAILABLE"
    assert decode_details(refused)["delivery"] == "not_sent"


async def test_an_agent_that_only_offers_a_scheme_does_not_depend_on_auth(proxy, gateway):
    proxy.vault.is_unavailable = True
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require(("header",), required=False))

        assert (await gateway.send_message(message_body("SendMessage"))).head.status == 200


async def test_an_interface_of_another_host_receives_no_credential(proxy, gateway):
    proxy.vault.credentials = {KEY: MARKER}
    async with serve_agent(EchoAgent()) as own, serve_agent(EchoAgent()) as other:
        interfaces = [
            AgentInterface(url=own.url, binding="HTTP+JSON", version="1.0"),
            AgentInterface(url=other.url, binding="JSONRPC", version="1.0"),
        ]
        proxy.registry.set_workspace(
            TARGET, address=own.url, interfaces=interfaces, agent_security=require(("header",))
        )
        await gateway.send_message(current_message("hi"))

    assert own.requests == []
    assert "X-Key" not in other.requests[0].headers


async def test_a_redirect_does_not_take_the_credential_to_another_host(proxy, gateway):
    proxy.vault.credentials = {KEY: MARKER}
    async with (
        serve_agent(EchoAgent()) as other,
        serve_agent(MisbehavingAgent(status=307, headers={"Location": other.url})) as agent,
    ):
        offer(proxy, agent, require(("header",)))
        assert (await gateway.send_message(message_body("SendMessage"))).head.status == 307

    assert other.requests == []


@pytest.mark.parametrize("name", ["header", "query", "cookie", "bearer", "basic"])
async def test_the_credential_is_in_no_answer_log_or_activity(proxy, gateway, capsys, name):
    proxy.vault.credentials = {KEY: MARKER, BEARER: MARKER}
    async with serve_agent(EchoAgent()) as agent:
        offer(proxy, agent, require((name,)))
        await gateway.send_message(message_body("SendMessage"))
    failed = await gateway.send_message(message_body("SendMessage", message_id="m-2"))
    activities = await proxy.list_activities(TARGET)

    printed = capsys.readouterr()
    assert activities
    assert MARKER not in f"{printed.out}{printed.err}{failed}{activities}"
    assert Dispatch.__dataclass_fields__["credential"].default == NO_CREDENTIAL
    assert MARKER not in repr(AgentCredential(headers=(("x", MARKER),), query=MARKER))


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [
        *(("api_key_header", name) for name in ("Host", "content-length", "X-Molecule-Caller", "a b", "x\r\ny", "")),
        ("api_key_cookie", "a;b"),
        ("api_key_cookie", ""),
        ("oauth2", ""),
        ("of a later release", "x"),
    ],
)
def test_a_credential_is_put_nowhere_where_it_could_mean_something_else(kind, parameter):
    assert build_credential(((Scheme(kind, parameter, KEY),),), {KEY: MARKER}) == NO_CREDENTIAL


@pytest.mark.parametrize(
    "value", ["", " ", "a\r\nX-Other: b", "\u00e9", "v" * (agent_credentials.MAX_CREDENTIAL_LENGTH + 1)]
)
def test_a_value_that_no_header_can_carry_counts_as_not_set(value):
    assert build_credential(((Scheme("http_bearer", "", KEY),),), {KEY: value}) == NO_CREDENTIAL


def test_several_cookies_and_parameters_are_joined():
    schemes = tuple(
        Scheme(kind, parameter, KEY)
        for kind in ("api_key_cookie", "api_key_query")
        for parameter in ("a", "b&c" if kind == "api_key_query" else "b")
    )
    found = build_credential((schemes,), {KEY: "v=1&x"})
    assert found == AgentCredential(headers=(("cookie", "a=v=1&x; b=v=1&x"),), query="a=v%3D1%26x&b%26c=v%3D1%26x")


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_breaks_out_of_its_place(parameter, value):
    for kind in ("api_key_header", "api_key_query", "api_key_cookie", "http_bearer", "http_basic"):
        found = build_credential(((Scheme(kind, parameter, KEY),),), {KEY: value})
        for name, text in found.headers:
            assert name.isascii()
            assert text.isascii()
            assert text.isprintable()
        assert found.query.isascii()
        assert found.query.count("=") <= 1
