"""Checks of sending messages."""

import asyncio

from tests.e2e.a2a_requirements.probe import EXTENSION_HEADERS, UNKNOWN_TASK, Probe, build_message, build_send
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import get_state

OPEN_STATES = ("SUBMITTED", "WORKING")


@check("SEND-01")
async def answer_is_a_task_or_a_message(probe: Probe) -> None:
    assert set((await probe.send("hello")).result) & {"task", "message"}


@check("SEND-02")
async def answer_may_be_a_message(probe: Probe) -> None:
    message = (await probe.send("message")).result["message"]
    assert message["role"] == "ROLE_AGENT"
    assert message["messageId"]
    assert message["parts"] == [{"text": "only a message"}]


@check("SEND-03")
async def message_to_an_ended_task_is_refused(probe: Probe) -> None:
    task = await probe.make_task("hello")
    reply = await probe.send("again", taskId=task["id"])
    legacy = ("INVALID_PARAMS", "INVALID_REQUEST")
    reply.must_be("UNSUPPORTED_OPERATION", *(legacy if probe.is_legacy else ()))


@check("SEND-04")
async def unsupported_media_type_is_refused(probe: Probe) -> None:
    message = build_message("")
    message["parts"] = [{"raw": "a2l0", "mediaType": "application/x-of-the-test", "filename": "f"}]
    reply = await probe.strict.call("send", {"message": message}, EXTENSION_HEADERS)
    reply.must_be("CONTENT_TYPE_NOT_SUPPORTED")


@check("SEND-05")
async def answer_waits_for_the_end(probe: Probe) -> None:
    assert get_state((await probe.send("hello", {"returnImmediately": False})).task) == "COMPLETED"


@check("SEND-06")
async def answer_waits_for_an_interruption(probe: Probe) -> None:
    assert get_state(await probe.make_task("wait")) == "INPUT_REQUIRED"
    assert get_state(await probe.make_task("auth")) == "AUTH_REQUIRED"


@check("SEND-07")
async def answer_may_come_at_once(probe: Probe) -> None:
    task = await probe.start_held_task()
    assert get_state(task) in OPEN_STATES
    await probe.full.call("cancel", {"id": task["id"]})


@check("SEND-08")
async def message_to_an_unknown_task_is_refused(probe: Probe) -> None:
    (await probe.send("hello", taskId=UNKNOWN_TASK)).must_be("TASK_NOT_FOUND")


@check("SEND-09")
async def a_new_context_is_told(probe: Probe) -> None:
    assert (await probe.make_task("hello"))["contextId"]


@check("SEND-10")
async def the_context_of_the_client_is_kept(probe: Probe) -> None:
    context = build_message("")["messageId"]
    assert (await probe.make_task("hello", contextId=context))["contextId"] == context


@check("SEND-11")
async def each_task_has_its_own_id(probe: Probe) -> None:
    context = build_message("")["messageId"]
    tasks = [await probe.make_task("hello", contextId=context) for _ in range(2)]
    assert tasks[0]["id"] != tasks[1]["id"]


@check("SEND-12")
async def a_task_is_continued(probe: Probe) -> None:
    task = await probe.make_task("wait")
    continued = await probe.make_task("go on", taskId=task["id"])
    assert (continued["id"], continued["contextId"]) == (task["id"], task["contextId"])
    assert get_state(continued) == "COMPLETED"


@check("SEND-13")
async def a_foreign_context_is_refused(probe: Probe) -> None:
    task = await probe.make_task("wait")
    reply = await probe.send("go on", taskId=task["id"], contextId="another")
    reply.must_be("INVALID_PARAMS", *(("INVALID_REQUEST",) if probe.is_legacy else ()))


@check("SEND-14")
async def an_invalid_answer_of_the_agent_is_told(probe: Probe) -> None:
    (await probe.send("invalid")).must_be("INVALID_AGENT_RESPONSE")


@check("SEND-15")
async def parts_travel_unchanged(probe: Probe) -> None:
    parts = [
        {"text": "some text"},
        {"data": {"number": 7, "half": 0.5, "nested": {"list": [1, None, True, "x"]}, "empty": {}}},
        {"raw": "iVBORw0KGgo=", "mediaType": "image/png"},
        {"url": "https://example.com/a.png", "mediaType": "image/png"},
    ]
    task = await probe.make_task("", parts=parts)
    assert task["artifacts"][0]["parts"] == parts, task["artifacts"][0]["parts"]


@check("SEND-16")
async def metadata_travels_unchanged(probe: Probe) -> None:
    metadata = {"trace": {"id": "x", "steps": [1, 2]}}
    task = await probe.make_task("wait", metadata=metadata)
    assert task["artifacts"][0]["metadata"] == {"test": {"n": 1}}
    read = (await probe.get(task["id"])).task
    assert read["history"][0]["metadata"] == metadata, read


@check("SEND-17")
async def characters_travel_unchanged(probe: Probe) -> None:
    text = '你好 здравствуйте مرحبا 😀 \u2028 tab\tbell\b form\f \r\n "quotes" \\ </end>'
    assert (await probe.make_task(text))["artifacts"][0]["parts"][0]["text"] == text


@check("SEND-18")
async def a_large_text_is_answered(probe: Probe) -> None:
    text = "A" * 2**20
    assert (await probe.make_task(text))["artifacts"][0]["parts"] == [{"text": text}]


@check("SEND-19")
async def output_modes_may_be_named(probe: Probe) -> None:
    assert (await probe.send("hello", {"acceptedOutputModes": ["text/plain", "image/png"]})).task


@check("SEND-20")
async def other_tasks_may_be_named(probe: Probe) -> None:
    other = await probe.make_task("hello")
    task = await probe.make_task("wait", referenceTaskIds=[other["id"]])
    read = (await probe.get(task["id"])).task
    assert read["history"][0]["referenceTaskIds"] == [other["id"]], read


@check("SEND-21")
async def history_of_the_answer_is_limited(probe: Probe) -> None:
    task = await probe.make_task("wait")
    assert len((await probe.send("wait", {"historyLength": 1}, taskId=task["id"])).task.get("history", [])) <= 1


@check("SEND-22")
async def history_of_the_answer_is_left_out(probe: Probe) -> None:
    assert not (await probe.send("hello", {"historyLength": 0})).task.get("history")


@check("SEND-23")
async def failures_are_states(probe: Probe) -> None:
    assert get_state(await probe.make_task("fail")) == "FAILED"
    assert get_state(await probe.make_task("reject")) == "REJECTED"


@check("SEND-24")
async def messages_at_once_have_tasks_of_their_own(probe: Probe) -> None:
    tasks = await asyncio.gather(*(probe.make_task(f"hello {number}") for number in range(8)))
    assert len({task["id"] for task in tasks}) == 8
    assert [task["artifacts"][0]["parts"][0]["text"] for task in tasks] == [f"hello {number}" for number in range(8)]


@check("SEND-25")
async def members_may_be_null(probe: Probe) -> None:
    reply = await probe.send("hello", taskId=None, contextId=None, metadata=None)
    assert reply.reason in ("", "INVALID_PARAMS"), reply.raw


@check("SEND-26")
async def unknown_members_are_ignored(probe: Probe) -> None:
    params = build_send("hello", inventedMember={"deep": 1})
    assert (await probe.full.call("send", {**params, "anotherOne": 42})).task


@check("SEND-27")
async def a_request_without_a_message_is_refused(probe: Probe) -> None:
    reply = await probe.full.call("send", {})
    reply.must_be("INVALID_PARAMS", *(("INVALID_REQUEST",) if probe.is_legacy else ()))


@check("SEND-28")
async def a_message_without_parts_is_refused(probe: Probe) -> None:
    reply = await probe.send("", parts=[])
    reply.must_be("INVALID_PARAMS", *(("INVALID_REQUEST",) if probe.is_legacy else ()))


@check("SEND-29")
async def extensions_of_a_message_travel(probe: Probe) -> None:
    task = await probe.make_task("wait", extensions=["https://example.com/one"])
    read = (await probe.get(task["id"])).task
    assert read["history"][0]["extensions"] == ["https://example.com/one"], read


@check("SEND-30")
async def negative_history_is_refused(probe: Probe) -> None:
    (await probe.send("hello", {"historyLength": -1})).must_be("INVALID_PARAMS")
