"""
An agent of Pydantic AI, served by FastA2A: `python agent_pydantic_ai.py`.

Serves JSON-RPC at a free port of this machine, which it prints. Its model answers each message with its text, and a
text that says `wait` once a message that says `release` came. Runs in an environment of its own, where nothing of this
project can be imported.
"""

import asyncio
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
from fasta2a.broker import InMemoryBroker
from fasta2a.pydantic_ai import AgentWorker, agent_to_a2a
from fasta2a.storage import InMemoryStorage
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel

WORKERS = 200
"""A worker runs one task at a time, and the tasks that wait are many."""

waiting = [asyncio.Event()]
"""The event that ends the waiting of the tasks that wait now."""


async def echo(messages, info):
    text = messages[-1].parts[-1].content
    if "release" in text:
        waiting.pop().set()
        waiting.append(asyncio.Event())
    if "wait" in text:
        await waiting[-1].wait()
    yield text


def main() -> None:
    agent = Agent(FunctionModel(stream_function=echo), name="echo")
    broker, storage = InMemoryBroker(), InMemoryStorage()
    worker = AgentWorker(agent=agent, broker=broker, storage=storage)

    @asynccontextmanager
    async def run_workers(app):
        async with app.task_manager, agent, AsyncExitStack() as stack:
            for _ in range(WORKERS):
                await stack.enter_async_context(worker.run())
            yield

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        app = agent_to_a2a(agent, storage=storage, broker=broker, url=url, lifespan=run_workers)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
