"""Checks of the JSON-RPC binding."""

import json
from typing import Any

from tests.e2e.a2a_requirements.json_rpc import CurrentRpc
from tests.e2e.a2a_requirements.probe import UNKNOWN_TASK, Probe, build_message, build_send
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import DOMAIN, ERROR_INFO, Reply


def _rpc(probe: Probe) -> CurrentRpc:
    assert isinstance(probe.full, CurrentRpc)
    return probe.full


async def _post(probe: Probe, **members: Any) -> Reply:
    """Send an envelope with other members; those that are `...` are left out."""
    caller = _rpc(probe)
    body = {**caller.build_request("send", build_send("hello")), **members}
    return await caller.post({name: value for name, value in body.items() if value is not ...})


@check("RPC-01")
async def what_is_no_json_is_a_parse_error(probe: Probe) -> None:
    reply = await _rpc(probe).post(b'{"jsonrpc": "2.0", "method": "x", "params": {"a": 1}')
    reply.must_be("PARSE_ERROR")
    assert reply.raw["id"] is None


@check("RPC-02")
async def an_invalid_envelope_is_refused(probe: Probe) -> None:
    for members in ({"jsonrpc": "aaa"}, {"method": ...}, {"id": {"an": "object"}}, {"method": 7}):
        reply = await _post(probe, **members)
        reply.must_be("INVALID_REQUEST")


@check("RPC-03")
async def an_unknown_method_is_refused(probe: Probe) -> None:
    reply = await _post(probe, method="noSuch/method", id="three")
    reply.must_be("METHOD_NOT_FOUND")
    assert reply.raw["id"] == "three"


@check("RPC-04")
async def invalid_params_are_refused(probe: Probe) -> None:
    for params in ({"message": {"parts": "text"}}, {"": "no"}, {"message": 5}):
        reply = await _post(probe, params=params, id="four")
        reply.must_be("INVALID_PARAMS")
        assert reply.raw["id"] == "four"


@check("RPC-05")
async def ids_come_back(probe: Probe) -> None:
    for request_id in ("text", 7, 0, "", 2**53 + 1):
        assert (await _post(probe, id=request_id)).raw["id"] == request_id


@check("RPC-06")
async def answers_are_json(probe: Probe) -> None:
    for reply in (await probe.send("hello"), await probe.get(UNKNOWN_TASK)):
        assert (reply.status, reply.media_type) == (200, "application/json")


@check("RPC-07")
async def an_answer_is_an_envelope(probe: Probe) -> None:
    for reply in (await probe.send("hello"), await probe.get(UNKNOWN_TASK)):
        assert reply.raw["jsonrpc"] == "2.0"
        assert "id" in reply.raw
        assert ("result" in reply.raw) != ("error" in reply.raw)


@check("RPC-08")
async def an_error_has_code_and_message(probe: Probe) -> None:
    error = (await probe.get(UNKNOWN_TASK)).raw["error"]
    assert error["code"] == -32001
    assert isinstance(error["message"], str)
    assert error["message"]
    assert set(error) <= {"code", "message", "data"}


@check("RPC-09")
async def an_error_has_details(probe: Probe) -> None:
    [info] = [one for one in (await probe.get(UNKNOWN_TASK)).raw["error"]["data"] if one["@type"] == ERROR_INFO]
    assert (info["reason"], info["domain"]) == ("TASK_NOT_FOUND", DOMAIN)


@check("RPC-10")
async def a_batch_is_refused(probe: Probe) -> None:
    caller = _rpc(probe)
    for body in ([caller.build_request("send", build_send("hello"))], []):
        (await caller.post(body)).must_be("INVALID_REQUEST")


@check("RPC-11")
async def an_id_may_come_twice(probe: Probe) -> None:
    replies = [await _post(probe, id="same", params=_write(probe, "hello")) for _ in range(2)]
    assert all(reply.raw["id"] == "same" for reply in replies)
    assert replies[0].task["id"] != replies[1].task["id"]


@check("RPC-12")
async def events_are_envelopes(probe: Probe) -> None:
    events = await probe.stream("hello")
    assert all(event.raw["jsonrpc"] == "2.0" and "result" in event.raw for event in events)
    assert len({event.raw["id"] for event in events}) == 1


@check("RPC-13")
async def another_content_type_is_answered(probe: Probe) -> None:
    caller = _rpc(probe)
    body = json.dumps(caller.build_request("send", build_send("hello"))).encode()
    reply = await caller.post(body, {"Content-Type": "text/plain"})
    assert reply.reason in ("", "CONTENT_TYPE_NOT_SUPPORTED", "INVALID_REQUEST"), reply.raw


@check("RPC-14")
async def every_method_of_the_specification_is_known(probe: Probe) -> None:
    for operation, method in _rpc(probe).methods.items():
        reply = await _post(probe, method=method, params={})
        assert reply.reason != "METHOD_NOT_FOUND", operation


@check("RPC-15")
async def a_task_id_of_another_type_is_answered(probe: Probe) -> None:
    reply = await _post(probe, method=_rpc(probe).methods["get"], params={"id": 12345})
    reply.must_be("INVALID_PARAMS", "TASK_NOT_FOUND", "INVALID_REQUEST")


def _write(probe: Probe, text: str) -> Any:
    return _rpc(probe).write_params("send", {"message": build_message(text)})
