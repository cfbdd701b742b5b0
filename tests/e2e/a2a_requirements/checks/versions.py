"""Checks of versions, extensions and errors in general."""

from tests.e2e.a2a_requirements.probe import EXTENSION_HEADERS, UNKNOWN_TASK, Probe, build_send
from tests.e2e.a2a_requirements.registry import check

EXTENSIONS = "https://example.com/one,https://example.com/two"


@check("VER-01")
async def the_version_of_the_caller_is_served(probe: Probe) -> None:
    assert (await probe.full.call("send", build_send("hello"), {"A2A-Version": probe.full.generation})).task


@check("VER-02")
async def an_unknown_version_is_refused(probe: Probe) -> None:
    reply = await probe.full.call("send", build_send("hello"), {"A2A-Version": "99.0"})
    reply.must_be("VERSION_NOT_SUPPORTED")


@check("VER-03")
async def an_empty_version_is_the_old_one(probe: Probe) -> None:
    reply = await probe.full.call("send", build_send("hello"), {"A2A-Version": ""})
    assert reply.reason in ("", "VERSION_NOT_SUPPORTED") if not probe.is_legacy else reply.task, reply.raw


@check("VER-04")
async def a_patch_does_not_count(probe: Probe) -> None:
    reply = await probe.full.call("send", build_send("hello"), {"A2A-Version": f"{probe.full.generation}.7"})
    assert reply.task


@check("VER-05")
async def the_agent_is_told_a_version(probe: Probe) -> None:
    [part] = (await probe.make_task("headers"))["artifacts"][0]["parts"]
    assert part["data"].get("a2a-version", "0.3") in ("0.3", "1.0")
    assert probe.is_legacy or "a2a-version" in part["data"]


@check("EXT-01")
async def unknown_extensions_are_accepted(probe: Probe) -> None:
    headers = {"A2A-Extensions": EXTENSIONS, "X-A2A-Extensions": EXTENSIONS}
    assert (await probe.full.call("send", build_send("hello"), headers)).task


@check("EXT-02")
async def a_required_extension_is_required(probe: Probe) -> None:
    reply = await probe.strict.call("send", build_send("hello"))
    reply.must_be("EXTENSION_SUPPORT_REQUIRED")


@check("EXT-03")
async def a_declared_extension_reaches_the_agent(probe: Probe) -> None:
    assert (await probe.strict.call("send", build_send("hello"), EXTENSION_HEADERS)).task


@check("ERR-01")
async def errors_say_something(probe: Probe) -> None:
    reply = await probe.get(UNKNOWN_TASK)
    error = reply.raw.get("error", reply.raw)
    assert isinstance(error["message"], str)
    assert error["message"]
    assert probe.is_legacy or error["code"]
