"""Virtual environments for the versions of the official SDK and for frameworks, which cannot share one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.environments import create_environment

HERE = Path(__file__).parent

GENERATIONS = ("0_3", "1_0")


async def converse(generation: str, card_url: str, text: str, bearer: str = "") -> dict[str, Any]:
    """Run the client of `generation` against the agent of a card; return what it saw."""
    [seen] = await converse_with_all(generation, [card_url], text, bearer)
    assert "failure" not in seen, seen
    return seen


async def converse_with_all(generation: str, card_urls: list[str], text: str, bearer: str = "") -> list[dict[str, Any]]:
    """Run the client of `generation` against the agents of cards; return what it saw of each."""
    found: list[dict[str, Any]] = await run_client(
        generation, f"client_{generation}.py", ",".join(card_urls), text, bearer
    )
    return found


@asynccontextmanager
async def serve_official_agent() -> AsyncIterator[str]:
    """Run the agent of the SDK of 0.3 for the length of the block; yields its address."""
    async with serve_agent_program("0_3") as url:
        yield url


@asynccontextmanager
async def serve_agent_program(name: str) -> AsyncIterator[str]:
    """Run `agent_<name>.py` with its requirements for the length of the block; yields its address."""
    python = await asyncio.to_thread(create_environment, HERE / f"requirements_{name}.txt")
    agent = await asyncio.create_subprocess_exec(python, HERE / f"agent_{name}.py", stdout=asyncio.subprocess.PIPE)
    assert agent.stdout is not None
    try:
        yield (await asyncio.wait_for(agent.stdout.readline(), 240)).decode().strip()
    finally:
        agent.kill()
        await agent.wait()


async def run_client(generation: str, program: str, *arguments: str) -> Any:
    """Run a program with the client of `generation`; return its JSON output."""
    python = await asyncio.to_thread(create_environment, HERE / f"requirements_{generation}.txt")
    client = await asyncio.create_subprocess_exec(
        *(python, HERE / program, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await asyncio.wait_for(client.communicate(), 60)
    assert client.returncode == 0, complaint.decode()
    return json.loads(printed)
