"""Agents whose answers the plane cannot read: compressed ones, and such in other encodings than UTF-8."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from protos.registry.v1.registry_pb2 import AgentInterface
from tests.a2a_proxy.fake_gateway import TARGET, decode_details
from tests.a2a_proxy.scripted_agent import serve_script
from tests.a2a_proxy.tasks.task_agent import Caller, build_message, workspace
from tests.agents import EchoAgent, serve_agent

ONE = "6f1f6a0c-7d3b-4c8e-9a7e-0b8f2f6c1d11"

TASK = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}


@dataclass
class EncodingAgent(EchoAgent):
    """Answers with a task, or with a stream of it, in an encoding that nobody asked for."""

    encode: Callable[[bytes], bytes] = gzip.compress
    headers: tuple[tuple[str, str], ...] = (("Content-Encoding", "gzip"),)
    status: int = 200

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        wrapped = {"task": TASK} if "jsonrpc" not in message else TASK
        result = wrapped if "jsonrpc" not in message else {"jsonrpc": "2.0", "id": message["id"], "result": wrapped}
        body = json.dumps(result).encode()
        is_stream = "stream" in message.get("method", request.path).lower()
        kind = "text/event-stream" if is_stream else "application/json"
        response = web.Response(
            status=self.status, body=self.encode(b"data: " + body + b"\n\n" if is_stream else body), content_type=kind
        )
        for name, value in self.headers:
            response.headers.add(name, value)
        return response


UNREADABLE_HEADERS = {
    "gzip": (("Content-Encoding", "gzip"),),
    "a coding in capitals": (("content-encoding", " GZIP "),),
    "a second header": (("Content-Encoding", "identity"), ("Content-Encoding", "gzip")),
    "a list of codings": (("Content-Encoding", "identity, gzip"),),
    "an unknown coding": (("Content-Encoding", "x-own"),),
}

OTHER_CHARACTERS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")

METHODS = {
    "JSONRPC": ["message/send", "message/stream", "SendMessage"],
    "HTTP+JSON": ["SendMessage", "SendStreamingMessage"],
}


@pytest.fixture
def caller(proxy, gateway) -> Caller:
    proxy.registry.set_workspace(ONE)
    return Caller(gateway, workspace(ONE))


def offer(proxy, url: str, binding: str) -> None:
    interface = AgentInterface(url=url, binding=binding, version="1.0" if binding == "HTTP+JSON" else "0.3")
    proxy.registry.set_workspace(TARGET, address=url, interfaces=[interface])


async def ask(caller: Caller, method: str):
    return await caller.request(method, message=build_message())


@pytest.mark.covers("HOS-13")
@pytest.mark.parametrize("binding", METHODS)
async def test_a_compressed_answer_is_refused_and_no_task_is_hidden(proxy, caller, binding):
    async with serve_agent(EncodingAgent()) as agent:
        offer(proxy, agent.url, binding)
        for name, agent.headers in UNREADABLE_HEADERS.items():
            for method in METHODS[binding]:
                refused = (await ask(caller, method)).refused

                assert refused.reason == "ANSWER_UNREADABLE", (name, method)
                assert refused.message == "failed to read agent response: it is compressed, or it is not UTF-8"
                assert decode_details(refused) == {"delivery_confirmed": True}
    assert {request.headers["Accept-Encoding"] for request in agent.requests} == {"identity"}


@pytest.mark.covers("HOS-13")
async def test_other_answers_pass_if_they_are_utf_8_and_the_task_of_each_is_known(proxy, caller):
    async with serve_agent(EncodingAgent(headers=())) as agent:
        offer(proxy, agent.url, "JSONRPC")
        for encoding in OTHER_CHARACTERS:
            agent.encode = lambda body, encoding=encoding: body.decode().encode(encoding)
            assert (await ask(caller, "message/send")).refused.reason == "ANSWER_UNREADABLE", encoding

        agent.encode = bytes
        for value in ("identity", ""):
            agent.headers = (("Content-Encoding", value),)
            assert await caller.start_task() == "t"
        assert not await caller.is_refused("tasks/get", id="t")


@pytest.mark.covers("HOS-13")
async def test_a_compressed_error_keeps_its_status_and_loses_its_body(proxy, caller):
    async with serve_agent(EncodingAgent(status=418)) as agent:
        offer(proxy, agent.url, "JSONRPC")
        for method in ("message/send", "message/stream"):
            head = (await ask(caller, method)).head

            assert (head.status, json.loads(head.body)) == (418, {"error": "I'm a Teapot"})
            assert "content-encoding" not in head.headers


@pytest.mark.covers("HOS-13")
async def test_a_status_without_a_body_has_nothing_to_decode(proxy, caller):
    async with serve_script(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n") as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        assert (await ask(caller, "message/send")).head.status == 204
