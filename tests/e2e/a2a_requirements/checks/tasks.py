"""Checks of reading and canceling tasks."""

import re

from tests.e2e.a2a_requirements.probe import UNKNOWN_TASK, Probe
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import get_state

STATES = {
    *("SUBMITTED", "WORKING", "COMPLETED", "FAILED", "CANCELED"),
    *("INPUT_REQUIRED", "REJECTED", "AUTH_REQUIRED"),
}

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")


@check("GET-01")
async def a_task_is_read(probe: Probe) -> None:
    task = await probe.make_task("hello")
    read = (await probe.get(task["id"])).task
    assert (read["id"], read["contextId"], get_state(read)) == (task["id"], task["contextId"], "COMPLETED")
    assert read["artifacts"] == task["artifacts"]


@check("GET-02")
async def an_unknown_task_is_not_found(probe: Probe) -> None:
    (await probe.get(UNKNOWN_TASK)).must_be("TASK_NOT_FOUND")


@check("GET-03")
async def history_is_limited(probe: Probe) -> None:
    task = await probe.make_task("wait")
    await probe.send("wait again", taskId=task["id"])
    read = (await probe.get(task["id"], historyLength=1)).task
    assert len(read["history"]) == 1
    assert read["history"][0]["parts"] == [{"text": "wait again"}], read["history"]


@check("GET-04")
async def history_of_no_length(probe: Probe) -> None:
    task = await probe.make_task("wait")
    read = (await probe.get(task["id"], historyLength=0)).task
    assert probe.is_legacy or not read.get("history")


@check("GET-05")
async def negative_history_is_refused(probe: Probe) -> None:
    task = await probe.make_task("wait")
    (await probe.get(task["id"], historyLength=-1)).must_be("INVALID_PARAMS")


@check("GET-06")
async def a_longer_history_than_there_is(probe: Probe) -> None:
    task = await probe.make_task("wait")
    assert (await probe.get(task["id"], historyLength=2**31 - 1)).task["id"] == task["id"]


@check("GET-07")
async def history_holds_the_messages_in_order(probe: Probe) -> None:
    task = await probe.make_task("wait one")
    await probe.send("wait two", taskId=task["id"])
    history = (await probe.get(task["id"])).task["history"]
    users = [message["parts"][0]["text"] for message in history if message["role"] == "ROLE_USER"]
    assert users == ["wait one", "wait two"]


@check("GET-08")
async def unknown_members_are_ignored(probe: Probe) -> None:
    task = await probe.make_task("hello")
    assert (await probe.get(task["id"], inventedMember="x")).task["id"] == task["id"]


@check("DATA-01")
async def a_task_has_its_members(probe: Probe) -> None:
    task = await probe.make_task("hello")
    assert all(isinstance(task[name], str) and task[name] for name in ("id", "contextId"))
    assert get_state(task) in STATES
    for artifact in task["artifacts"]:
        assert isinstance(artifact["artifactId"], str), artifact
        assert artifact["parts"], artifact


@check("DATA-02")
async def enums_are_names(probe: Probe) -> None:
    reply = await probe.send("wait")
    states, roles = _collect(reply.raw, "state"), _collect(reply.raw, "role")
    legacy_rpc = probe.full.name == "JSON-RPC 0.3"
    assert states == (["input-required"] if legacy_rpc else ["TASK_STATE_INPUT_REQUIRED"])
    assert set(roles) <= ({"user", "agent"} if legacy_rpc else {"ROLE_USER", "ROLE_AGENT"})


@check("DATA-03")
async def times_are_in_utc(probe: Probe) -> None:
    times = _collect((await probe.send("hello")).raw, "timestamp")
    assert times
    assert all(TIMESTAMP.fullmatch(time) for time in times), times


@check("DATA-04")
async def names_are_in_camel_case(probe: Probe) -> None:
    assert not [name for name in _collect_names((await probe.send("hello")).raw) if "_" in name]


@check("DATA-05")
async def objects_name_their_kind(probe: Probe) -> None:
    raw = (await probe.send("hello")).raw["result"]
    assert raw["kind"] == "task"
    assert [part["kind"] for part in raw["artifacts"][0]["parts"]] == ["text"]
    events = [event.raw["result"]["kind"] for event in await probe.stream("hello")]
    assert set(events) <= {"task", "message", "status-update", "artifact-update"}


@check("CANCEL-01")
async def an_open_task_is_canceled(probe: Probe) -> None:
    task = await probe.make_task("wait")
    canceled = (await probe.cancel(task["id"])).task
    assert (canceled["id"], get_state(canceled)) == (task["id"], "CANCELED")
    assert get_state((await probe.get(task["id"])).task) == "CANCELED"


@check("CANCEL-02")
async def an_ended_task_is_not_cancelable(probe: Probe) -> None:
    task = await probe.make_task("hello")
    (await probe.full.call("cancel", {"id": task["id"]})).must_be("TASK_NOT_CANCELABLE")


@check("CANCEL-03")
async def an_unknown_task_is_not_canceled(probe: Probe) -> None:
    (await probe.full.call("cancel", {"id": UNKNOWN_TASK})).must_be("TASK_NOT_FOUND")


@check("CANCEL-04")
async def a_canceled_task_is_not_cancelable(probe: Probe) -> None:
    task = await probe.make_task("wait")
    assert not (await probe.cancel(task["id"])).reason
    (await probe.full.call("cancel", {"id": task["id"]})).must_be("TASK_NOT_CANCELABLE")


def _collect(value: object, name: str) -> list[str]:
    """Return the values of a member at any depth."""
    if isinstance(value, list):
        return [found for one in value for found in _collect(one, name)]
    if not isinstance(value, dict):
        return []
    own = [value[name]] if name in value else []
    return own + [found for one in value.values() for found in _collect(one, name)]


def _collect_names(value: object) -> set[str]:
    if isinstance(value, list):
        return {name for one in value for name in _collect_names(one)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {name for one in value.values() for name in _collect_names(one)}
