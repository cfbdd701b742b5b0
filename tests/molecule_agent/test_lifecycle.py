"""The heart on real HTTP: planes with faults, and time that moves only when told."""

import logging

import pytest

from tests.molecule_agent.adapters import patient as patient_adapter
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_plane import (
    SECRET,
    TOKEN,
    ForgetfulPlane,
    GarblingPlane,
    GonePlane,
    GoodPlane,
    HesitantPlane,
    RedirectingPlane,
    RefusingPlane,
    RemovingPlane,
    RudePlane,
    SilentPlane,
    StrictPlane,
)
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _decisions(caplog):
    caplog.set_level(logging.INFO)


def _store(root, token: str) -> None:
    (root / "configs").mkdir(exist_ok=True)
    (root / "configs" / ".auth_token").write_text(token)


@pytest.mark.covers("AGT-12")
async def test_an_agent_registers_with_its_card_and_the_url_it_was_given(start, plane):
    async with start(plane, host="localhost") as agent:
        await eventually(lambda: plane.beats)

    [said] = plane.registered
    assert said["id"] == WORKSPACE_ID
    assert said["url"] == agent.url
    assert said["url"].startswith("http://localhost:")
    assert said["agent_card"]["supportedInterfaces"][0]["url"] == agent.url
    assert "delivery_mode" not in said


@pytest.mark.covers("AGT-12", "AGT-04")
async def test_what_register_hands_over_is_kept_and_used(start, plane, tmp_path, caplog):
    async with start(plane):
        await eventually(lambda: plane.beats)

    assert plane.bearers == [None, f"Bearer {TOKEN}"]
    assert (tmp_path / "configs" / ".auth_token").read_text() == TOKEN
    assert (tmp_path / "configs" / ".platform_inbound_secret").read_text() == SECRET
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.covers("AGT-12")
async def test_a_stored_token_is_sent_with_register(start, plane, tmp_path):
    plane.token = "from-the-provisioner"
    _store(tmp_path, "from-the-provisioner")

    async with start(plane):
        await eventually(lambda: plane.beats)

    assert plane.bearers == ["Bearer from-the-provisioner"] * 2


@pytest.mark.covers("AGT-14")
@pytest.mark.parametrize(("mode", "has_url"), [("push", True), ("poll", False)])
async def test_a_delivery_mode_is_sent_only_when_chosen(start, plane, mode, has_url):
    async with start(plane, delivery_mode=mode):
        await eventually(lambda: plane.registered)

    assert plane.registered[0]["delivery_mode"] == mode
    assert ("url" in plane.registered[0]) is has_url


@pytest.mark.covers("AGT-01")
async def test_three_heartbeats_in_61_seconds(start, plane, clock):
    async with start(plane):
        await eventually(lambda: len(plane.beats) == 1)
        clock.advance(30)
        await eventually(lambda: len(plane.beats) == 2)
        clock.advance(29)
        clock.advance(2)
        await eventually(lambda: len(plane.beats) == 3)
        await eventually(lambda: clock.sleeping == [29])

    assert [beat["uptime_seconds"] for beat in plane.beats] == [0, 30, 61]


@pytest.mark.covers("AGT-12")
@pytest.mark.parametrize(
    ("plane", "why"),
    [
        (StrictPlane(400, "invalid request body"), "400 invalid request body"),
        (RefusingPlane(), "401 invalid workspace auth token"),
        (RudePlane(), "500 <html>Oops </html>"),
        (RedirectingPlane(), "307 Temporary Redirect"),
    ],
)
async def test_a_refused_register_is_repeated_and_delays_no_heartbeat(start, clock, tmp_path, caplog, plane, why):
    _store(tmp_path, TOKEN)
    plane.token = TOKEN

    async with plane.open(), start(plane):
        for number in range(1, 4):
            await eventually(lambda number=number: len(plane.beats) == number)
            await eventually(lambda: len(clock.sleeping) == 2)
            clock.advance(30)
        await eventually(lambda: len(plane.beats) == 4)

    assert plane.attempts >= 4
    assert plane.registered == []
    assert f"register failed: {why}" in caplog.text
    assert all("agent_card" in beat for beat in plane.beats)


@pytest.mark.covers("AGT-12")
async def test_a_register_that_is_never_answered_delays_no_heartbeat(start, clock, tmp_path):
    _store(tmp_path, TOKEN)
    plane = SilentPlane()

    async with plane.open(), start(plane):
        await eventually(lambda: plane.attempts == 1)
        for number in range(1, 4):
            clock.advance(30)
            await eventually(lambda number=number: len(plane.beats) == number)


@pytest.mark.covers("AGT-12")
async def test_a_plane_that_is_not_there_is_asked_again(start, clock, tmp_path, caplog):
    plane = GoodPlane()
    async with plane.open():
        pass

    async with start(plane):
        await eventually(lambda: "register failed: ConnectError" in caplog.text)
        await eventually(lambda: "heartbeats fail: ConnectError" in caplog.text)
        clock.advance(30)
        await eventually(lambda: caplog.text.count("register failed") >= 2)

    assert caplog.text.count("heartbeats fail") == 1


async def test_once_a_plane_relents_the_agent_is_registered_and_beats(start, clock, caplog):
    plane = HesitantPlane(refusals=2)

    async with plane.open(), start(plane):
        for attempt in (1, 2):
            await eventually(lambda attempt=attempt: plane.attempts == attempt)
            await eventually(lambda: len(clock.sleeping) == 2)
            clock.advance(2**attempt)
        await eventually(lambda: plane.beats)

    assert len(plane.registered) == 1
    assert "register failed: 409 workspace is paused" in caplog.text
    assert "heartbeats are accepted again" in caplog.text


async def test_a_yes_that_cannot_be_read_is_no_yes(start, clock, caplog):
    plane = GarblingPlane()

    async with plane.open(), start(plane):
        await eventually(lambda: "register failed: 200, but not with a JSON object" in caplog.text)


async def test_a_plane_that_forgot_the_workspace_is_asked_on(start, clock, caplog):
    plane = ForgetfulPlane()
    plane.token = None

    async with plane.open(), start(plane) as agent:
        await eventually(lambda: "register failed: 404 workspace not found" in caplog.text)
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(2)
        await eventually(lambda: plane.attempts == 2)
        assert not agent.stop.is_set()


@pytest.mark.covers("AGT-12")
async def test_a_token_that_the_plane_replaced_is_read_from_its_file(start, plane, clock, tmp_path):
    async with start(plane):
        await eventually(lambda: len(plane.beats) == 1)
        plane.token = "rotated"
        _store(tmp_path, "rotated")
        await eventually(lambda: clock.sleeping)
        clock.advance(30)
        await eventually(lambda: len(plane.beats) == 2)

    assert plane.bearers[-2:] == [f"Bearer {TOKEN}", "Bearer rotated"]


@pytest.mark.parametrize("plane", [GonePlane(), RemovingPlane()])
async def test_a_removed_workspace_ends_the_agent(start, clock, caplog, plane):
    async with plane.open(), start(plane) as agent:
        if isinstance(plane, RemovingPlane):
            await eventually(lambda: len(plane.beats) == 1)
            await eventually(lambda: clock.sleeping)
            clock.advance(30)
        await eventually(agent.stop.is_set)

    assert "the workspace was removed, the agent stops: 410 workspace removed" in caplog.text


@pytest.mark.covers("AGT-12")
async def test_work_that_lasts_is_told_soon_and_so_is_its_end(start, plane, clock, client):
    async with start(plane, adapter_module="tests.molecule_agent.adapters.patient") as agent:
        await eventually(lambda: len(plane.beats) == 1)
        await client.ask(agent.url, "count the sheep", configuration={"returnImmediately": True})
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(plane.beats) == 2)
        patient_adapter.Adapter.latest.gate.set()
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(plane.beats) == 3)

    assert [(beat["active_tasks"], beat["current_task"]) for beat in plane.beats] == [
        (0, ""),
        (1, "count the sheep"),
        (0, ""),
    ]


async def test_work_that_is_soon_done_causes_no_heartbeat(start, plane, clock, client):
    async with start(plane) as agent:
        await eventually(lambda: len(plane.beats) == 1)
        await client.ask(agent.url, "hello")
        await eventually(lambda: len(clock.sleeping) == 2)
        clock.advance(1)
        await eventually(lambda: len(clock.sleeping) == 1)

    assert len(plane.beats) == 1
