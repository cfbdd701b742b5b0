"""The lifecycle of an agent over HTTP, with faulty planes and a manual clock."""

import logging

import pytest

from tests.molecule_agent.adapters import gated as gated_adapter
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_plane import (
    SECRET,
    TOKEN,
    FailingPlane,
    FakePlane,
    LateAcceptingPlane,
    NonJsonPlane,
    RedirectingPlane,
    RegisterRefusingPlane,
    RemovedWorkspacePlane,
    RemovingPlane,
    UnauthorizedPlane,
    UnknownWorkspacePlane,
    UnresponsivePlane,
)
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _info_logs(caplog):
    caplog.set_level(logging.INFO)


def _write_token(root, token: str) -> None:
    (root / "configs").mkdir(exist_ok=True)
    (root / "configs" / ".auth_token").write_text(token)


@pytest.mark.covers("AGT-12")
async def test_an_agent_registers_with_its_card_and_its_url(start, plane):
    async with start(plane, host="localhost") as agent:
        await eventually(lambda: plane.heartbeats)

    [body] = plane.registered
    assert body["id"] == WORKSPACE_ID
    assert body["url"] == agent.url
    assert body["url"].startswith("http://localhost:")
    assert body["agent_card"]["supportedInterfaces"][0]["url"] == agent.url
    assert "delivery_mode" not in body


@pytest.mark.covers("AGT-12", "AGT-04")
async def test_the_credentials_in_the_answer_to_register_are_stored_and_used(start, plane, tmp_path, caplog):
    async with start(plane):
        await eventually(lambda: plane.heartbeats)

    assert plane.bearers == [None, f"Bearer {TOKEN}"]
    assert (tmp_path / "configs" / ".auth_token").read_text() == TOKEN
    assert (tmp_path / "configs" / ".platform_inbound_secret").read_text() == SECRET
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.covers("AGT-12")
async def test_a_stored_token_is_sent_with_register(start, plane, tmp_path):
    plane.token = "from-the-provisioner"
    _write_token(tmp_path, "from-the-provisioner")

    async with start(plane):
        await eventually(lambda: plane.heartbeats)

    assert plane.bearers == ["Bearer from-the-provisioner"] * 2


@pytest.mark.covers("AGT-14")
@pytest.mark.parametrize(("mode", "has_url"), [("push", True), ("poll", False)])
async def test_a_delivery_mode_is_sent_only_when_it_is_set(start, plane, mode, has_url):
    async with start(plane, delivery_mode=mode):
        await eventually(lambda: plane.registered)

    assert plane.registered[0]["delivery_mode"] == mode
    assert ("url" in plane.registered[0]) is has_url


@pytest.mark.covers("AGT-01")
async def test_an_agent_sends_three_heartbeats_in_61_seconds(start, plane, clock):
    async with start(plane):
        await eventually(lambda: len(plane.heartbeats) == 1)
        clock.advance(30)
        await eventually(lambda: len(plane.heartbeats) == 2)
        clock.advance(29)
        clock.advance(2)
        await eventually(lambda: len(plane.heartbeats) == 3)
        await eventually(lambda: clock.sleeping == [29])

    assert [heartbeat_body["uptime_seconds"] for heartbeat_body in plane.heartbeats] == [0, 30, 61]


@pytest.mark.covers("AGT-12")
@pytest.mark.parametrize(
    ("plane", "reason"),
    [
        (RegisterRefusingPlane(400, "invalid request body"), "400 invalid request body"),
        (
            RegisterRefusingPlane(400, "invalid request body", reason="url_validate_failed", detail="is not reachable"),
            "400 invalid request body: url_validate_failed: is not reachable",
        ),
        (UnauthorizedPlane(), "401 invalid workspace auth token"),
        (FailingPlane(), "500 <html>Oops </html>"),
        (RedirectingPlane(), "307 Temporary Redirect"),
    ],
)
async def test_a_refused_register_is_repeated_and_delays_no_heartbeat(start, clock, tmp_path, caplog, plane, reason):
    _write_token(tmp_path, TOKEN)
    plane.token = TOKEN

    async with plane.open(), start(plane):
        for number in range(1, 4):
            await eventually(lambda number=number: len(plane.heartbeats) == number)
            await eventually(lambda: len(clock.sleeping) == 2)
            clock.advance(30)
        await eventually(lambda: len(plane.heartbeats) == 4)

    assert plane.attempts >= 4
    assert plane.registered == []
    assert f"register failed: {reason}" in caplog.text
    assert all("agent_card" in heartbeat_body for heartbeat_body in plane.heartbeats)


@pytest.mark.covers("AGT-12")
async def test_a_register_that_is_never_answered_delays_no_heartbeat(start, clock, tmp_path):
    _write_token(tmp_path, TOKEN)
    plane = UnresponsivePlane()

    async with plane.open(), start(plane):
        await eventually(lambda: plane.attempts == 1)
        for number in range(1, 4):
            clock.advance(30)
            await eventually(lambda number=number: len(plane.heartbeats) == number)


@pytest.mark.covers("AGT-12")
async def test_an_unreachable_plane_is_called_again(start, clock, tmp_path, caplog):
    plane = FakePlane()
    async with plane.open():
        pass

    async with start(plane):
        await eventually(lambda: "register failed: ConnectError" in caplog.text)
        await eventually(lambda: "heartbeats fail: ConnectError" in caplog.text)
        clock.advance(30)
        await eventually(lambda: len(clock.sleeping) == 2)

    assert caplog.text.count("heartbeats fail") == 1


@pytest.mark.covers("DWN-11")
async def test_a_refusal_is_logged_again_only_when_its_reason_changes(start, clock, tmp_path, caplog):
    _write_token(tmp_path, TOKEN)
    plane = RegisterRefusingPlane(400, "invalid request body", reason="url_validate_failed", detail="first")

    async with plane.open(), start(plane):
        for attempt in range(1, 4):
            await eventually(lambda attempt=attempt: plane.attempts == attempt)
            await eventually(lambda: len(clock.sleeping) == 2)
            clock.advance(60)
        await eventually(lambda: plane.attempts == 4)
        plane.answer["detail"] = "second"
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(60)
        await eventually(lambda: "second" in caplog.text)

    assert caplog.text.count("register failed") == 2
    assert "url_validate_failed: first" in caplog.text


@pytest.mark.covers("DWN-11")
@pytest.mark.parametrize("details", [{"reason": 7}, {"detail": ["x"]}, {"reason": {"a": 1}}, {"detail": "y" * 100_000}])
async def test_a_refusal_of_any_shape_is_logged_in_one_bounded_line(start, clock, tmp_path, caplog, details):
    _write_token(tmp_path, TOKEN)
    plane = RegisterRefusingPlane(400, "invalid request body", **details)

    async with plane.open(), start(plane):
        await eventually(lambda: "register failed" in caplog.text)

    [line] = [line for line in caplog.text.splitlines() if "register failed" in line]
    assert len(line) < 500


async def test_once_the_plane_accepts_the_register_the_agent_sends_heartbeats(start, clock, caplog):
    plane = LateAcceptingPlane(refusals=2)

    async with plane.open(), start(plane):
        for attempt in (1, 2):
            await eventually(lambda attempt=attempt: plane.attempts == attempt)
            await eventually(lambda: len(clock.sleeping) == 2)
            clock.advance(2**attempt)
        await eventually(lambda: "heartbeats are accepted again" in caplog.text)

    assert plane.heartbeats
    assert len(plane.registered) == 1
    assert "register failed: 409 workspace is paused" in caplog.text


async def test_an_answer_that_is_not_json_is_a_failed_register(start, clock, caplog):
    plane = NonJsonPlane()

    async with plane.open(), start(plane):
        await eventually(lambda: "register failed: 200, but not with a JSON object" in caplog.text)


async def test_a_plane_that_does_not_know_the_workspace_is_called_again(start, clock, caplog):
    plane = UnknownWorkspacePlane()
    plane.token = None

    async with plane.open(), start(plane) as agent:
        await eventually(lambda: "register failed: 404 workspace not found" in caplog.text)
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(2)
        await eventually(lambda: plane.attempts == 2)
        assert not agent.stop.is_set()


@pytest.mark.covers("AGT-12")
async def test_a_token_that_the_plane_has_replaced_is_read_from_its_file(start, plane, clock, tmp_path):
    async with start(plane):
        await eventually(lambda: len(plane.heartbeats) == 1)
        plane.token = "rotated"
        _write_token(tmp_path, "rotated")
        await eventually(lambda: clock.sleeping)
        clock.advance(30)
        await eventually(lambda: len(plane.heartbeats) == 2)

    assert plane.bearers[-2:] == [f"Bearer {TOKEN}", "Bearer rotated"]


@pytest.mark.parametrize("plane", [RemovedWorkspacePlane(), RemovingPlane()])
async def test_a_removed_workspace_ends_the_agent(start, clock, caplog, plane):
    async with plane.open(), start(plane) as agent:
        if isinstance(plane, RemovingPlane):
            await eventually(lambda: len(plane.heartbeats) == 1)
            await eventually(lambda: clock.sleeping)
            clock.advance(30)
        await eventually(agent.stop.is_set)

    assert "the workspace was removed, the agent stops: 410 workspace removed" in caplog.text


@pytest.mark.covers("AGT-12")
async def test_a_long_task_is_reported_soon_after_its_start_and_its_end(start, plane, clock, client):
    async with start(plane, adapter_module="tests.molecule_agent.adapters.gated") as agent:
        await eventually(lambda: len(plane.heartbeats) == 1)
        await client.send_message(agent.url, "count the sheep", configuration={"returnImmediately": True})
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(plane.heartbeats) == 2)
        gated_adapter.Adapter.latest.gate.set()
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(plane.heartbeats) == 3)

    assert [
        (heartbeat_body["active_tasks"], heartbeat_body["current_task"]) for heartbeat_body in plane.heartbeats
    ] == [
        (0, ""),
        (1, "count the sheep"),
        (0, ""),
    ]


async def test_a_short_task_causes_no_heartbeat(start, plane, clock, client):
    async with start(plane) as agent:
        await eventually(lambda: len(plane.heartbeats) == 1)
        await client.send_message(agent.url, "hello")
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(clock.sleeping) == 1)

    assert len(plane.heartbeats) == 1


@pytest.mark.covers("AGT-12")
async def test_an_agent_whose_token_is_refused_registers_anew_with_the_next_one(start, plane, clock, tmp_path):
    async with start(plane):
        await eventually(lambda: plane.heartbeats)
        plane.token = "the-next-one"
        clock.advance(30)
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: plane.attempts == 2)
        await eventually(lambda: len(clock.sleeping) == 2)
        assert len(plane.registered) == 1

        _write_token(tmp_path, "the-next-one")
        clock.advance(1)
        await eventually(lambda: len(plane.registered) == 2)
        await eventually(lambda: len(plane.heartbeats) == 2)
        clock.advance(28)
        await eventually(lambda: len(plane.heartbeats) == 3)

    assert len(plane.registered) == 2


async def test_an_agent_that_starts_at_another_address_registers_it(start, plane):
    for host in ("127.0.0.1", "localhost"):
        async with start(plane, host=host):
            await eventually(lambda host=host: plane.registered and host in plane.registered[-1]["url"])
