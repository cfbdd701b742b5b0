"""Virtual environments for the versions of the official SDK and for frameworks, which cannot share one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.sdk_clients.processes import read_json, serve_program
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
async def serve_agent(name: str) -> AsyncIterator[str]:
    """Run `agent_<name>.py` with its requirements for the length of the block; yields its address."""
    python = await asyncio.to_thread(create_environment, HERE / f"requirements_{name}.txt")
    async with serve_program(python, HERE / f"agent_{name}.py") as url:
        yield url


async def run_client(generation: str, program: str, *arguments: str) -> Any:
    """Run a program with the client of `generation`; return its JSON output."""
    python = await asyncio.to_thread(create_environment, HERE / f"requirements_{generation}.txt")
    return await read_json(python, HERE / program, *arguments)
