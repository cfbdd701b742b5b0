"""Compares what each kind of listener receives of the events of a workspace with the table `event_matrix.toml`."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.plane import Plane
from services.registry.workspace.events import BroadcastType, EventType, RelayedEventType
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.conversation import build_message
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.gateway.event_clients import open_event_stream, open_websocket, receive_event
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

MATRIX = tomllib.loads(Path(__file__).with_name("event_matrix.toml").read_text())

CLOSED_DEVELOPMENT = {**PRODUCTION, "MOLECULE_ENV": "development"}
"""Closed gates as in production, and agents on this machine."""

MODES: dict[str, dict[str, str]] = {"open": {}, "closed": CLOSED_DEVELOPMENT}

QUESTION, REQUEST, LOG_TAIL = "what-the-operator-asked", "what-the-sibling-asked", "what-the-agent-logged"
SUMMARY, MESSAGE = "what-the-agent-did", "what-the-agent-tells-people"

FAILED = {"status": "failed", "error": SUMMARY}
"""The result of a delegation that failed."""

SECRETS = (QUESTION, REQUEST, LOG_TAIL, SUMMARY, MESSAGE)
"""Texts of content, which relatives do not receive."""

TREE = {"root": "", "parent": "root", "target": "parent", "child": "target", "sibling": "parent"}
TREE |= {"uncle": "root", "cousin": "uncle", "other_root": "", "other_child": "other_root"}

LOGGED_EVENTS = 4
"""The rows of `cause_events`: two messages, a report and a message to people."""

LAST_VERSION = "last"
"""The version of the card with which a workspace marks the end of what a listener has to receive."""


@dataclass
class Organisations:
    """The workspaces of the table, and the headers of the listeners."""

    plane: Plane
    ids: dict[str, str] = field(default_factory=dict)
    bearers: dict[str, str] = field(default_factory=dict)
    listeners: dict[str, dict[str, str]] = field(default_factory=dict)

    async def create_tree(self) -> None:
        """Create the workspaces; the target is managed, so that its start can fail."""
        for name, parent in TREE.items():
            fields = {"parent_id": self.ids[parent]} if parent else {}
            if name == "target":
                self.ids[name] = (await self.post("/workspaces", {"name": name, "runtime": "echo", **fields}))["id"]
                self.bearers[name] = (await self.post(f"/workspaces/{self.ids[name]}/tokens", {}))["auth_token"]
            else:
                self.ids[name], self.bearers[name] = await external(self.plane, name, **fields)
        self.listeners = {name: bearer(text) for name, text in self.bearers.items()}
        for name, root in (("reader_org", "root"), ("foreign_org", "other_root")):
            body = {"org_id": self.ids[root], "scopes": ["read"], "name": name}
            self.listeners[name] = bearer((await self.post("/org/tokens", body))["auth_token"])
        self.listeners["reader_session"] = await self.open_session(self.listeners["reader_org"])
        if self.plane.admin:
            self.listeners["admin"] = self.plane.admin
            self.listeners["admin_session"] = await self.open_session(self.plane.admin)
        else:
            self.listeners["anonymous"] = {}

    async def open_session(self, headers: dict[str, str]) -> dict[str, str]:
        """Open a browser session; return the headers of its requests."""
        answer = await self.plane.http.post("/session", headers=headers)
        assert answer.status_code == 201, answer.text
        self.plane.http.cookies.clear()
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        """Send a request that must succeed, by default as the operator; return the answer."""
        answer = await self.plane.http.post(path, json=body, headers=headers or self.plane.admin, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def cause_events(self, agent: EchoAgent) -> None:
        """Let the target fail, register, work, answer the operator and its sibling, and report to people."""
        target, own = self.ids["target"], self.listeners["target"]
        failure = {"error": "no", "log_tail": LOG_TAIL}
        await self.post(f"/admin/workspaces/{target}/bootstrap-failed", failure)
        await self.post("/registry/register", {"id": target, "agent_card": {"name": "t"}, "url": agent.url}, own)
        await self.post(f"/workspaces/{target}/approvals", {"action": "pay", "reason": "due"}, own)
        heartbeat = {"error_rate": 0.0, "active_tasks": 0, "uptime_seconds": 1, "current_task": QUESTION}
        await self.post("/registry/heartbeat", {"workspace_id": target, **heartbeat}, own)
        await self.post(f"/workspaces/{target}/a2a", build_message(QUESTION))
        await self.post(f"/workspaces/{target}/a2a", build_message(REQUEST), self.listeners["sibling"])
        report = {"activity_type": "agent_log", "summary": SUMMARY, "request_body": SUMMARY, "response_body": SUMMARY}
        await self.post(f"/workspaces/{target}/activity", report, own)
        message = {"message": MESSAGE, "attachments": [{"uri": f"workspace:/{MESSAGE}", "name": MESSAGE}]}
        await self.post(f"/workspaces/{target}/notify", message, own)
        for id_, result in (("done", {"status": "completed", "response_preview": SUMMARY}), ("lost", FAILED)):
            delegation = {"target_id": self.ids["sibling"], "task": REQUEST, "delegation_id": id_}
            await self.post(f"/workspaces/{target}/delegations/record", delegation, own)
            await self.post(f"/workspaces/{target}/delegations/{id_}/update", result, own)
        await eventually(self.has_failed_delegation)

    async def has_failed_delegation(self) -> bool:
        """Whether the registry has stored the last event of the target's delegations."""
        answer = await self.plane.http.get(f"/events/{self.ids['target']}", headers=self.plane.admin)
        return any(event["event_type"] == "DELEGATION_FAILED" for event in answer.json())

    async def mark_end(self) -> None:
        """Let every workspace that still listens replace its card."""
        for name, workspace_id in self.ids.items():
            if name not in self.listeners:
                continue
            card = {"workspace_id": workspace_id, "agent_card": {"name": name, "version": LAST_VERSION}}
            await self.post("/registry/update-card", card, self.listeners[name])

    def is_end(self, listener: str, event: dict[str, Any]) -> bool:
        """Whether the event is the last one that the listener has to receive."""
        name = {"foreign_org": "other_root"}.get(listener, listener if listener in TREE else "root")
        return event["workspace_id"] == self.ids[name] and is_last(event["event"], event["payload"])

    async def find_last_event_id(self) -> int:
        """Return the id of the newest stored event."""
        answer = await self.plane.http.get("/events", params={"limit": 1}, headers=self.plane.admin)
        return int(answer.json()[0]["event_id"])


@pytest_asyncio.fixture(params=MODES, loop_scope="module")
async def organisations(request, database_url) -> AsyncIterator[Organisations]:
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=MODES[request.param]) as plane,
    ):
        found = Organisations(plane)
        await found.create_tree()
        yield found


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def is_last(event_type: str, payload: dict[str, Any]) -> bool:
    return event_type == EventType.AGENT_CARD_UPDATED and payload["agent_card"].get("version") == LAST_VERSION


async def read_to_end(organisations: Organisations, listener: str, socket: Any) -> list[dict[str, Any]]:
    """Return what the listener receives of the target, without marks, up to the last event that it has to receive."""
    found = []
    while True:
        event = await receive_event(socket)
        if event["workspace_id"] == organisations.ids["target"] and not is_last(event["event"], event["payload"]):
            found.append(event)
        if organisations.is_end(listener, event):
            return found


@asynccontextmanager
async def listening(organisations: Organisations, after: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Open a socket of each listener; yields them by name."""
    async with AsyncExitStack() as sockets:
        yield {
            name: await sockets.enter_async_context(open_websocket(organisations.plane.url, after=after, **headers))
            for name, headers in organisations.listeners.items()
        }


def describe(events: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the types and the keys of events, sorted: two streams bring the events, and broadcasts may overtake."""
    return sorted((event["event"], sorted(event["payload"])) for event in events)


def expect(everything: list[dict[str, Any]], reach: str) -> list[tuple[str, list[str]]]:
    """Return what a listener with this reach receives of all events."""
    if reach == "nothing":
        return []
    if reach == "everything":
        return describe(everything)
    return sorted(
        (event["event"], sorted(event["payload"].keys() - set(MATRIX["content"].get(event["event"], ()))))
        for event in everything
        if event["event"] not in MATRIX["kinds"]["private"]
    )


def check(received: dict[str, list[dict[str, Any]]], operator: str) -> None:
    """Compare what every listener received with the table."""
    everything = received[operator]
    for listener, events in received.items():
        reach = MATRIX["listeners"][listener]
        assert describe(events) == expect(everything, reach), listener
        if reach != "everything":
            for secret in SECRETS:
                assert secret not in json.dumps(events), listener


async def test_the_table_names_every_type_of_event_once():
    named = [name for names in MATRIX["kinds"].values() for name in names]

    published = [*EventType, *RelayedEventType, *BroadcastType, "ACTIVITY_LOGGED", "A2A_RESPONSE", "AGENT_MESSAGE"]
    assert sorted(named) == sorted(published)
    assert set(MATRIX["content"]) == set(MATRIX["kinds"]["announced"])


@pytest.mark.covers("TOK-01", "TOK-02", "TOK-03")
async def test_every_listener_receives_what_the_table_says_live_and_replayed(organisations):
    operator = "admin" if "admin" in organisations.listeners else "anonymous"
    start = await organisations.find_last_event_id()
    async with serve_agent(EchoAgent()) as agent, listening(organisations) as sockets:
        received = {name: [] for name in sockets}
        await organisations.cause_events(agent)
        while [event["event"] for event in received[operator]].count(
            "ACTIVITY_LOGGED"
        ) < LOGGED_EVENTS:  # broadcasts come late
            event = await receive_event(sockets[operator])
            if event["workspace_id"] == organisations.ids["target"]:
                received[operator].append(event)
        await organisations.mark_end()
        for name, socket in sockets.items():
            received[name] += await read_to_end(organisations, name, socket)
    check(received, operator)
    assert {event["event"] for event in received[operator]} >= {
        *MATRIX["kinds"]["announced"],
        *MATRIX["kinds"]["private"],
        "WORKSPACE_ONLINE",
        "APPROVAL_REQUESTED",
        "TASK_UPDATED",
    }

    async with listening(organisations, after=start) as sockets:
        replayed = {name: await read_to_end(organisations, name, socket) for name, socket in sockets.items()}
    check(replayed, operator)
    stored = [event for event in received[operator] if "event_id" in event]
    assert describe(replayed[operator]) == describe(stored)


@pytest.mark.covers("TOK-03")
async def test_the_stream_of_a_workspace_is_open_to_those_who_receive_everything(organisations):
    http, target = organisations.plane.http, organisations.ids["target"]
    start = await organisations.find_last_event_id()
    own = organisations.listeners["target"]
    async with serve_agent(EchoAgent()) as agent, AsyncExitStack() as streams:
        opened = {}
        for name, headers in organisations.listeners.items():
            if MATRIX["listeners"][name] == "everything":
                opened[name] = await streams.enter_async_context(open_event_stream(http, target, **headers))
            else:
                path = f"/workspaces/{target}/events/stream"
                assert (await http.get(path, headers=headers)).status_code in {401, 403}, name
        await organisations.post(
            "/registry/register", {"id": target, "agent_card": {"name": "t"}, "url": agent.url}, own
        )
        await organisations.post(f"/workspaces/{target}/a2a", build_message(QUESTION))
        for name, stream in opened.items():
            while (await stream.event())["type"] != "A2A_RESPONSE":
                pass
            async with open_event_stream(http, target, after=start, **organisations.listeners[name]) as again:
                assert (await again.event())["type"] == "WORKSPACE_ONLINE"


@pytest.mark.covers("TOK-04")
async def test_a_workspace_that_moves_takes_no_earlier_event_to_its_new_organisation(organisations):
    http, target, admin = organisations.plane.http, organisations.ids["target"], organisations.plane.admin
    start = await organisations.find_last_event_id()
    before, after = {"name": "t", "version": "before"}, {"name": "t", "version": "after"}
    own = organisations.listeners["target"]
    await organisations.post("/registry/update-card", {"workspace_id": target, "agent_card": before}, own)
    moved = await http.patch(
        f"/workspaces/{target}", json={"parent_id": organisations.ids["other_root"]}, headers=admin
    )
    assert moved.status_code == 200, moved.text
    await organisations.post("/registry/update-card", {"workspace_id": target, "agent_card": after}, own)
    await organisations.mark_end()
    both, old, new = {"before", "after"}, {"before"}, {"after"}
    expected = dict.fromkeys(("reader_org", "reader_session"), old)
    expected |= dict.fromkeys(("foreign_org", "other_root", "other_child"), new)
    expected |= dict.fromkeys(("admin", "admin_session", "anonymous", "target"), both)

    async with listening(organisations, after=start) as sockets:
        for name, socket in sockets.items():
            events = await read_to_end(organisations, name, socket)
            versions = {event["payload"].get("agent_card", {}).get("version") for event in events}
            if name == "child":  # it has moved along with its parent
                assert versions & both == new
            else:
                assert versions & both == expected.get(name, set()), name
    foreign_org, reader_org = organisations.listeners["foreign_org"], organisations.listeners["reader_org"]
    async with open_event_stream(http, target, after=start, **foreign_org) as stream:
        assert (await stream.event())["data"]["agent_card"] == after
    assert (await http.get(f"/workspaces/{target}/events/stream", headers=reader_org)).status_code == 403


@pytest.mark.covers("TOK-04")
async def test_the_removal_of_a_workspace_is_heard_by_its_relatives_alone(organisations):
    start = await organisations.find_last_event_id()
    async with asyncio.timeout(60), listening(organisations) as sockets:
        path = f"/workspaces/{organisations.ids['target']}?confirm=true&purge=true"
        answer = await organisations.plane.http.delete(path, headers=organisations.plane.admin)
        assert answer.status_code == 200, answer.text
        for name in ("target", "child"):
            del sockets[name], organisations.listeners[name]
        await organisations.mark_end()
        live = {name: await read_to_end(organisations, name, socket) for name, socket in sockets.items()}
    async with listening(organisations, after=start) as sockets:
        replayed = {name: await read_to_end(organisations, name, socket) for name, socket in sockets.items()}

    for name, events in live.items():
        hears = MATRIX["listeners"][name] != "nothing"
        assert [event["event"] for event in events] == ["WORKSPACE_REMOVED"] * hears, name
        # A purged workspace has no relatives: only those who receive everything read of it later.
        hears_later = MATRIX["listeners"][name] == "everything"
        assert [event["event"] for event in replayed[name]] == ["WORKSPACE_REMOVED"] * hears_later, name
