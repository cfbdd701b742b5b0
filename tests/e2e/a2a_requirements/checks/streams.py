"""Checks of streams."""

from typing import Any

from tests.e2e.a2a_requirements.caller import EVENT_STREAM, Caller
from tests.e2e.a2a_requirements.probe import ENDED_STATES, UNKNOWN_TASK, Probe, build_send, first
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import JsonObject, Reply, get_state


def _name(event: Reply) -> str:
    """Return the kind of an event."""
    [name] = set(event.result) & {"task", "message", "statusUpdate", "artifactUpdate"}
    return name


def _show(event: Reply) -> JsonObject:
    shown: JsonObject = event.result[_name(event)]
    return shown


async def _refuse(caller: Caller, operation: str, params: JsonObject) -> Reply:
    """Return the only answer to a stream that is refused."""
    [reply] = [event async for event in caller.events(operation, params)]
    return reply


async def _collect(events: Any) -> list[Reply]:
    return [event async for event in events]


@check("STREAM-01")
async def events_come_as_a_stream(probe: Probe) -> None:
    events = await probe.stream("hello")
    assert events
    assert all(_name(event) for event in events)
    if probe.full.binding != "gRPC":
        assert events[0].media_type == EVENT_STREAM


@check("STREAM-02")
async def a_message_is_the_only_event(probe: Probe) -> None:
    [event] = await probe.stream("message")
    assert _show(event)["parts"] == [{"text": "only a message"}]


@check("STREAM-03")
async def a_stream_begins_with_the_task_and_ends_with_it(probe: Probe) -> None:
    events = await probe.stream("hello")
    assert _name(events[0]) == "task"
    assert get_state(_show(events[-1])) == "COMPLETED"
    if probe.is_legacy:
        finals = [_show(event).get("final", False) for event in events if _name(event) == "statusUpdate"]
        assert finals[-1] is True
        assert not any(finals[:-1])


@check("STREAM-04")
async def events_keep_their_order(probe: Probe) -> None:
    events = [_show(event) for event in await probe.stream("chunks")]
    updates = [event for event in events if "artifact" in event]
    assert [event["artifact"]["parts"][0]["text"] for event in updates] == ["0", "1", "2"]
    assert [event.get("append", False) for event in updates] == [False, True, True]
    assert [event.get("lastChunk", False) for event in updates] == [False, False, True]
    assert len({event["taskId"] for event in updates}) == 1


@check("STREAM-05")
async def a_stream_without_the_capability_is_refused(probe: Probe) -> None:
    (await _refuse(probe.plain, "stream", build_send("hello"))).must_be("UNSUPPORTED_OPERATION")


@check("STREAM-06")
async def a_stream_without_a_message_is_refused(probe: Probe) -> None:
    reply = await _refuse(probe.full, "stream", {})
    reply.must_be("INVALID_PARAMS", *(("INVALID_REQUEST",) if probe.is_legacy else ()))


@check("STREAM-07")
async def a_stream_to_an_unknown_task_is_refused(probe: Probe) -> None:
    (await _refuse(probe.full, "stream", build_send("hello", taskId=UNKNOWN_TASK))).must_be("TASK_NOT_FOUND")


@check("STREAM-08")
async def a_stream_continues_a_task(probe: Probe) -> None:
    task = await probe.make_task("wait")
    events = [_show(event) for event in await probe.stream("go on", taskId=task["id"])]
    assert {event.get("taskId", event.get("id")) for event in events} == {task["id"]}
    assert get_state(events[-1]) == "COMPLETED"


@check("STREAM-09")
async def what_a_stream_tells_is_what_the_task_becomes(probe: Probe) -> None:
    events = [_show(event) for event in await probe.stream("chunks")]
    task_id = next(event["taskId"] for event in events if "artifact" in event)
    [artifact] = (await probe.get(task_id)).task["artifacts"]
    assert [part["text"] for part in artifact["parts"]] == ["0", "1", "2"]


@check("SUB-01")
async def a_subscription_begins_with_the_task(probe: Probe) -> None:
    task = await probe.start_held_task()
    event = await first(probe.subscribe(task["id"]))
    assert _name(event) == "task"
    assert _show(event)["id"] == task["id"]
    await probe.cancel(task["id"])


@check("SUB-02")
async def a_subscription_ends_with_the_task(probe: Probe) -> None:
    task = await probe.start_held_task()
    events = []
    async for event in probe.subscribe(task["id"]):
        events.append(event)
        if len(events) == 1:
            await probe.cancel(task["id"])
    assert get_state(_show(events[-1])) == "CANCELED"


@check("SUB-03")
async def a_subscription_to_an_ended_task_is_refused(probe: Probe) -> None:
    task = await probe.make_task("hello")
    (await _refuse(probe.full, "subscribe", {"id": task["id"]})).must_be("UNSUPPORTED_OPERATION")


@check("SUB-04")
async def a_subscription_to_an_unknown_task_is_refused(probe: Probe) -> None:
    (await _refuse(probe.full, "subscribe", {"id": UNKNOWN_TASK})).must_be("TASK_NOT_FOUND")


@check("SUB-05")
async def a_subscription_without_the_capability_is_refused(probe: Probe) -> None:
    reply = await _refuse(probe.plain, "subscribe", {"id": UNKNOWN_TASK})
    reply.must_be("UNSUPPORTED_OPERATION", "TASK_NOT_FOUND")


@check("SUB-06")
async def streams_of_a_task_tell_the_same(probe: Probe) -> None:
    task = await probe.start_held_task()
    one, two = probe.subscribe(task["id"]), probe.subscribe(task["id"])
    await anext(one)
    await anext(two)
    await probe.cancel(task["id"])
    told = [[_show(event) for event in await _collect(stream)] for stream in (one, two)]
    assert told[0] == told[1]
    assert get_state(told[0][-1]) == "CANCELED"


@check("SUB-07")
async def a_stream_outlives_another(probe: Probe) -> None:
    task = await probe.start_held_task()
    kept = probe.subscribe(task["id"])
    await anext(kept)
    await first(probe.subscribe(task["id"]))
    await probe.cancel(task["id"])
    assert get_state(_show((await _collect(kept))[-1])) in ENDED_STATES
