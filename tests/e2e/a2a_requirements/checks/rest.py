"""Checks of the HTTP+JSON binding."""

import json

from tests.e2e.a2a_requirements.http_json import CurrentRest
from tests.e2e.a2a_requirements.probe import UNKNOWN_TASK, Probe, build_send
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import DOMAIN, ERROR_INFO

JSON_TYPES = ("application/a2a+json", "application/json")


def _rest(probe: Probe) -> CurrentRest:
    assert isinstance(probe.full, CurrentRest)
    return probe.full


@check("REST-01")
async def an_error_says_code_status_and_message(probe: Probe) -> None:
    reply = await probe.get(UNKNOWN_TASK)
    error = reply.raw["error"]
    assert (error["code"], error["status"]) == (reply.status, "NOT_FOUND")
    assert isinstance(error["message"], str)
    assert error["message"]
    assert reply.media_type in JSON_TYPES


@check("REST-02")
async def an_error_has_details(probe: Probe) -> None:
    details = (await probe.get(UNKNOWN_TASK)).raw["error"]["details"]
    [info] = [one for one in details if one["@type"] == ERROR_INFO]
    assert (info["reason"], info["domain"]) == ("TASK_NOT_FOUND", DOMAIN)


@check("REST-03")
async def errors_have_their_status(probe: Probe) -> None:
    ended = await probe.make_task("hello")
    caller = _rest(probe)
    assert (await probe.get(UNKNOWN_TASK)).status == 404
    assert (await caller.call("cancel", {"id": ended["id"]})).status in (400, 409)
    assert (await probe.send("hello", parts=[])).status in (400, 422)
    assert (await probe.plain.call("push list", {"taskId": UNKNOWN_TASK})).status in (400, 501)


@check("REST-04")
async def an_answer_has_the_media_type_of_the_binding(probe: Probe) -> None:
    reply = await probe.send("hello")
    assert (reply.status, reply.media_type) == (200, "application/a2a+json")


@check("REST-05")
async def an_answer_is_json(probe: Probe) -> None:
    assert (await probe.send("hello")).media_type in JSON_TYPES


@check("REST-06")
async def an_unknown_path_is_not_found(probe: Probe) -> None:
    caller = _rest(probe)
    reply = await caller.request("GET", f"{caller.prefix}/no-such-thing")
    assert reply.status == 404, reply


@check("REST-07")
async def another_method_is_refused(probe: Probe) -> None:
    caller = _rest(probe)
    assert (await caller.request("GET", f"{caller.prefix}/message:send")).status in (404, 405)
    assert (await caller.request("DELETE", f"{caller.prefix}/tasks/{UNKNOWN_TASK}")).status in (404, 405)


@check("REST-08")
async def what_is_no_json_is_refused(probe: Probe) -> None:
    caller = _rest(probe)
    reply = await caller.request("POST", f"{caller.prefix}/message:send", content=b'{"message":')
    assert reply.status == 400
    assert reply.reason != "NO_JSON", reply.raw


@check("REST-09")
async def the_media_type_of_the_binding_is_accepted(probe: Probe) -> None:
    caller = _rest(probe)
    content = json.dumps(caller.write_send(build_send("hello"))).encode()
    headers = {"Content-Type": "application/a2a+json"}
    assert (await caller.request("POST", f"{caller.prefix}/message:send", content=content, headers=headers)).task


@check("REST-10")
async def events_are_bare(probe: Probe) -> None:
    for event in await probe.stream("hello"):
        assert "jsonrpc" not in event.raw
        assert len(event.raw) == 1


@check("REST-11")
async def a_subscription_may_be_a_get(probe: Probe) -> None:
    caller = _rest(probe)
    task = await probe.make_task("hello")
    for method in ("GET", "POST"):
        reply = await caller.request(method, f"{caller.prefix}/tasks/{task['id']}:subscribe")
        reply.must_be("UNSUPPORTED_OPERATION")


@check("REST-12")
async def parameters_are_named_in_camel_case(probe: Probe) -> None:
    task = await probe.make_task("wait")
    await probe.send("wait", taskId=task["id"])
    path = f"{_rest(probe).prefix}/tasks/{task['id']}"
    reply = await _rest(probe).request("GET", path, {"historyLength": "1"})
    assert len(reply.task["history"]) == 1
