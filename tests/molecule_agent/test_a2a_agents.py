"""The adapter that fronts an A2A agent, with real agents behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest
from aiohttp import web

from molecule_agent.adapter import BaseAdapter, InputRequired, TurnFailed, TurnRejected
from tests.molecule_agent.adapter_turns import make_adapter, make_turn, read_answer, read_until_the_end
from tests.molecule_agent.fake_plane import SECRET
from tests.waiting import eventually

ENDING = "tests.molecule_agent.adapters.ending"


@pytest.fixture
def unused_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


@pytest.fixture
async def front(tmp_path) -> AsyncIterator[Callable[..., BaseAdapter]]:
    """A function that creates an adapter for the agent at a URL."""
    created: list[BaseAdapter] = []

    def create(url: str, **more: str) -> BaseAdapter:
        environment = {"A2A_AGENT_URL": url, "A2A_AGENT_TOKEN": SECRET} | more
        created.append(make_adapter("a2a", tmp_path / "front", **environment))
        return created[-1]

    yield create
    for adapter in created:
        await adapter.close()


async def test_the_answer_of_the_other_agent_is_passed_on_as_it_comes(echo, front):
    assert await read_answer(front(echo.url), "hello you") == ["hel", "lo ", "you"]


async def test_the_card_shows_the_skills_of_the_other_agent(echo, front):
    adapter = front(echo.url)
    card = await asyncio.to_thread(adapter.card)

    assert (card.name, [skill.id for skill in card.skills]) == ("Echo", ["echo"])


async def test_an_agent_that_is_away_has_a_card_of_its_own_and_fails_each_task(front):
    adapter = front("http://127.0.0.1:9")

    assert (await asyncio.to_thread(adapter.card)).name == "A2A agent"
    _, why = await read_until_the_end(adapter, "hi", TurnFailed)
    assert why == "The agent behind this one could not answer."


async def test_an_agent_that_comes_back_is_reached_again(start, plane, front, unused_port):
    adapter = front(f"http://127.0.0.1:{unused_port}")
    await read_until_the_end(adapter, "hi", TurnFailed)
    async with start(plane, port=unused_port):
        assert "".join(await read_answer(adapter, "hi")) == "hi"


@pytest.mark.parametrize(("text", "end"), [("fail", TurnFailed), ("reject", TurnRejected), ("ask", InputRequired)])
async def test_a_task_ends_as_the_other_agent_ends_it(start, plane, front, text, end):
    async with start(plane, adapter_module=ENDING) as agent:
        assert await read_until_the_end(front(agent.url), text, end) == (f"heard {text}", f"told to {text}")


async def test_the_answer_to_a_question_goes_to_the_task_that_asked(start, plane, front):
    async with start(plane, adapter_module=ENDING) as agent:
        adapter = front(agent.url)
        await read_until_the_end(adapter, "ask", InputRequired)

        assert "".join(await read_answer(adapter, "yes", message_id="m2")) == "heard yes"


async def test_a_cancelled_turn_cancels_the_task_of_the_other_agent(gated, front):
    pieces = []

    async def answer() -> None:
        async for piece in front(gated.url).answer(make_turn("wait")):
            pieces.append(piece)  # noqa: PERF401 - the loop ends with an exception

    task = asyncio.create_task(answer())
    await eventually(lambda: pieces)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await eventually(lambda: gated.tracker.active_tasks == 0)


async def test_an_agent_that_takes_too_long_fails_the_task_and_is_cancelled(gated, front):
    _, why = await read_until_the_end(front(gated.url, A2A_AGENT_SECONDS="1"), "wait", TurnFailed)

    assert why == "The agent behind this one took longer than 1 seconds."
    await eventually(lambda: gated.tracker.active_tasks == 0)


async def test_the_token_is_sent_to_no_other_host(front):
    """The card of the agent names an address of another host."""
    async with recording_agent("localhost") as (url, authorizations):
        with pytest.raises(TurnFailed):
            await read_answer(front(url), "hi")

    assert authorizations == [f"Bearer {SECRET}", None]


async def test_two_turns_of_one_conversation_share_the_conversation_of_the_other_agent(echo, plane, front):
    adapter = front(echo.url)
    contexts = []
    for number in ("m1", "m2"):
        async for _ in adapter.answer(make_turn("hi", message_id=number)):
            pass
        async with adapter._conversations.use("c1") as remote:
            contexts.append(remote.context_id)

    assert contexts[0]
    assert contexts[0] == contexts[1]


@asynccontextmanager
async def recording_agent(host: str) -> AsyncIterator[tuple[str, list[str | None]]]:
    """An agent whose card names `host`; it records the credentials of all requests and answers no message."""
    authorizations: list[str | None] = []

    async def send_card(request: web.Request) -> web.Response:
        authorizations.append(request.headers.get("Authorization"))
        interface = {
            "url": f"http://{host}:{request.url.port}/",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        }
        texts = {"name": "n", "description": "d", "version": "1"}
        return web.json_response(texts | {"supportedInterfaces": [interface], "capabilities": {}, "skills": []})

    async def refuse(request: web.Request) -> web.Response:
        authorizations.append(request.headers.get("Authorization"))
        return web.Response(status=401)

    app = web.Application()
    app.router.add_get("/.well-known/agent-card.json", send_card)
    app.router.add_post("/", refuse)
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0]), authorizations
    finally:
        await runner.cleanup()
