"""Checks of the gRPC binding."""

from tests.e2e.a2a_requirements.grpc_caller import METHODS
from tests.e2e.a2a_requirements.probe import UNKNOWN_TASK, Probe, build_send
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import DOMAIN


@check("GRPC-01")
async def every_rpc_is_served(probe: Probe) -> None:
    for operation in METHODS:
        if operation in ("stream", "subscribe"):
            replies = [reply async for reply in probe.full.events(operation, {})]
        else:
            replies = [await probe.full.call(operation, {})]
        assert all(reply.status != "UNIMPLEMENTED" for reply in replies), operation


@check("GRPC-02")
async def an_error_has_details(probe: Probe) -> None:
    [info] = (await probe.get(UNKNOWN_TASK)).raw["details"]
    assert (info["reason"], info["domain"]) == ("TASK_NOT_FOUND", DOMAIN)


@check("GRPC-03")
async def errors_have_their_code(probe: Probe) -> None:
    ended = await probe.make_task("hello")
    assert (await probe.get(UNKNOWN_TASK)).status == "NOT_FOUND"
    assert (await probe.full.call("cancel", {"id": ended["id"]})).status == "FAILED_PRECONDITION"
    assert (await probe.send("again", taskId=ended["id"])).status == "FAILED_PRECONDITION"
    assert (await probe.send("", parts=[])).status == "INVALID_ARGUMENT"
    assert (await probe.plain.call("push list", {"taskId": UNKNOWN_TASK})).status == "FAILED_PRECONDITION"


@check("GRPC-04")
async def a_stream_is_a_stream_of_the_server(probe: Probe) -> None:
    events = [event async for event in probe.full.events("stream", build_send("hello"))]
    assert len(events) > 1
    assert all(len(event.result) == 1 for event in events)


@check("GRPC-05")
async def metadata_is_accepted(probe: Probe) -> None:
    reply = await probe.full.call("send", build_send("hello"), {"a2a-extensions": "https://example.com/one"})
    assert reply.task
