"""What comes in is what goes out: JSON through every route that stores or forwards it."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.plane import Plane
from services.a2a_proxy.app import service as proxy_service
from services.a2a_proxy.model import Activity
from services.a2a_proxy.store import Store
from services.chassis import database
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MIB = 1024 * 1024

HOSTILE = [
    "1e400",
    "[-1e400]",
    "Infinity",
    "NaN",
    "1" * 4301,
    "[" * 960 + "]" * 960,
    '"\\ud800"',
    "[" + "{}," * 100_000 + "{}]",
]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
broken = st.sampled_from(
    ["", "{", "[", "]", "01", "1.", "+1", "-", '"', '"\\x"', "nul", "1e400", "[NaN]", '{"a"}', "\ufeff1"]
)
json_texts = st.builds(json.dumps, values, ensure_ascii=st.booleans()) | numbers | broken


def exact(text: bytes | str):
    """The value of a JSON text with every number as the decimal that it is."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class ScriptedAgent(EchoAgent):
    """Answers every message with the bytes of `answer_text`."""

    answer_text: bytes = b"{}"

    async def reply(self, request: web.Request, message: dict) -> web.StreamResponse:
        return web.Response(body=self.answer_text, content_type="application/json")


class Caller:
    """A workspace that polls for its messages, and requests with its token."""

    def __init__(self, plane, workspace_id: str, token: str) -> None:
        self.plane, self.id = plane, workspace_id
        self._headers = {"Authorization": f"Bearer {token}"}

    async def request(self, method: str, path: str, body: str | bytes | None = None):
        content = body.encode() if isinstance(body, str) else body
        answer = await self.plane.http.request(method, path, content=content, headers=self._headers)
        assert answer.status_code < 500, answer.text
        return answer

    async def post(self, path: str, body: str | bytes):
        return await self.request("POST", f"/workspaces/{self.id}/{path}", body)

    async def read(self, path: str):
        """The answer of a GET, with exact numbers."""
        answer = await self.request("GET", path)
        return exact(answer.content) if answer.status_code == 200 else None


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane_url(database_url):
    async with plane_database(database_url) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plane(plane_url):
    """A plane that answers once activity is committed."""
    async with Plane(backend="none", database_url=plane_url, env={"A2A_PROXY_ACTIVITY_DELAY": "0"}) as plane:
        yield plane


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def caller(plane):
    workspace_id, token = await external(plane, "poller", delivery_mode="poll")
    caller = Caller(plane, workspace_id, token)
    card = {"id": workspace_id, "agent_card": {"name": "poller"}, "delivery_mode": "poll"}
    assert (await caller.request("POST", "/registry/register", json.dumps(card))).status_code == 200
    return caller


async def keep_entry(caller, text):
    answer = await caller.post("memory", f'{{"key":"k","value":{text}}}')
    kept = await caller.read(f"/workspaces/{caller.id}/memory/k")
    return answer, kept and kept["value"]


async def keep_checkpoint(caller, text):
    answer = await caller.post(
        "checkpoints", f'{{"workflow_id":"w","step_name":"s","step_index":1,"payload":{{"x":{text}}}}}'
    )
    kept = await caller.read(f"/workspaces/{caller.id}/checkpoints/latest")
    return answer, kept and kept["payload"]["x"]


async def keep_config(caller, text):
    answer = await caller.request("PATCH", f"/workspaces/{caller.id}/config", f'{{"k":{text}}}')
    kept = await caller.read(f"/workspaces/{caller.id}/config")
    return answer, kept["data"].get("k")


async def keep_card(caller, text):
    body = f'{{"workspace_id":"{caller.id}","agent_card":{{"name":"n","x":{text}}}}}'
    answer = await caller.request("POST", "/registry/update-card", body)
    kept = await caller.read(f"/workspaces/{caller.id}")
    shown = await caller.read(f"/workspaces/{caller.id}/a2a/.well-known/agent-card.json")
    assert shown.get("x") == kept["agent_card"].get("x")
    return answer, kept["agent_card"].get("x")


async def keep_message(caller, text):
    message = f'{{"messageId":"{uuid4()}","parts":[{{"kind":"data","data":{{"x": {text}}}}}]}}'
    request_id = text if text.lstrip()[:1] in '"-0123456789' else "1"  # only texts and numbers are ids
    body = f'{{"jsonrpc":"2.0","id":{request_id},"method":"message/send","params":{{"message":{message}}}}}'
    answer = await caller.post("a2a", body)
    rows = await caller.read(f"/workspaces/{caller.id}/activity?limit=1")
    request_body = rows[0]["request_body"] if rows else None
    return answer, request_body and request_body["params"]["message"]["parts"][0]["data"]["x"]


async def keep_activity(caller, text):
    answer = await caller.post("activity", f'{{"activity_type":"agent_log","request_body":{text}}}')
    rows = await caller.read(f"/workspaces/{caller.id}/activity?limit=1&type=agent_log")
    return answer, rows[0].get("request_body") if rows else None


KEEPERS = [keep_entry, keep_checkpoint, keep_config, keep_card, keep_message, keep_activity]


@pytest.mark.covers("TXT-01", "TXT-03")
@pytest.mark.parametrize("keep", KEEPERS, ids=lambda keep: keep.__name__)
@settings(max_examples=25)
@given(json_texts)
@example("123456789012345678901234567890.5")
@example("0.1000")
@example("-0")
@example("1E2")
@example("1e-400")
@example('{"a":1,"a":2}')
@example('"\\u2028\\u0085\\ud83d\\ude00"')
@example("[" * 60 + "]" * 60)
@example("1" * 308)
async def test_what_is_accepted_comes_back_and_what_is_refused_changes_nothing(caller, keep, text):
    _, before = await keep(caller, "0")

    answer, kept = await keep(caller, text)

    if answer.status_code < 300:
        assert kept == exact(text)
    else:
        assert 400 <= answer.status_code < 500
        assert answer.json()["error"]
        assert kept == before


@pytest.mark.covers("TXT-01")
@pytest.mark.parametrize("keep", KEEPERS, ids=lambda keep: keep.__name__)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
async def test_hostile_json_is_refused_and_changes_nothing(caller, keep, text):
    _, before = await keep(caller, "0")

    answer, kept = await keep(caller, text)

    assert answer.status_code in {400, 413}
    assert kept == before


@pytest.mark.covers("TXT-02", "TXT-03")
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
async def test_an_agents_answer_is_forwarded_unchanged_and_no_page_breaks(plane, text):
    agent = ScriptedAgent()
    agent.answer_text = f'{{"jsonrpc":"2.0","id":1,"result":{{"metadata":{{"tool_trace":{text}}}}}}}'.encode()
    async with serve_agent(agent):
        workspace_id, token = await external(plane, "pusher", url=agent.url)
        caller = Caller(plane, workspace_id, token)
        card = {"id": workspace_id, "agent_card": {"name": "pusher"}, "url": agent.url}
        assert (await caller.request("POST", "/registry/register", json.dumps(card))).status_code == 200
        body = b'{ "id":0.10, "method":"message/send","params":{"message":{"parts":[{"data":[1.0, 2E1]}]}}}'

        answer = await caller.post("a2a", body)

        assert answer.content == agent.answer_text
        assert b'"id":0.10' in agent.bodies[0]
        assert b"[1.0,2E1]" in agent.bodies[0]
        [row] = await eventually(lambda: caller.read(f"/workspaces/{workspace_id}/activity"))
        assert (row.get("response_body"), row.get("tool_trace")) == (None, None)
        assert exact(agent.bodies[0]) == row["request_body"]


@pytest.mark.covers("TXT-03")
async def test_a_row_that_an_earlier_release_stored_badly_hides_no_other(caller, plane_url):
    bodies = ['{"a":Infinity,"b":1}', '{"a":1e400}', "[" * 960 + "]" * 960, "[" + "1" * 4301 + "]", "{", '{"good":1.0}']
    rows = [build_row(caller.id, body) for body in bodies]
    async with (
        database.open_engine(plane_url, role=proxy_service.build_role()) as engine,
        Store(engine).begin() as transaction,
    ):
        await transaction.append(rows)

    answer = await caller.request("GET", f"/workspaces/{caller.id}/activity?limit={len(rows)}")

    shown = json.loads(answer.content, parse_constant=pytest.fail)[::-1]
    assert [row["id"] for row in shown] == [row.id for row in rows]
    assert [row["request_body"] for row in shown] == [{"a": None, "b": 1}, {"a": None}, None, [None], None, {"good": 1}]
    assert b'{"good":1.0}' in answer.content


@pytest.mark.covers("TXT-04")
async def test_small_messages_pass_while_large_ones_of_small_values_are_refused(caller):
    large = b'{"jsonrpc":"2.0","id":1,"method":"x","params":[' + b"{}," * (3 * MIB) + b"{}]}"
    text = b'{"jsonrpc":"2.0","id":1,"method":"x","params":["' + b"[1,2]{}," * MIB + b'"]}'

    answers = await asyncio.gather(*(caller.post("a2a", large) for _ in range(4)), caller.post("a2a", text))

    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 200]
    assert answers[0].json()["error"] == {"code": -32700, "message": "invalid JSON: more than 100000 values"}


def build_row(workspace_id: str, body: str) -> Activity:
    return Activity(
        id=str(uuid4()),
        workspace_id=workspace_id,
        activity_type="a2a_receive",
        created_at=datetime.now(UTC),
        method="message/send",
        request_body=body,
    )
