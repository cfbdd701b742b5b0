"""Virtual environments for the two versions of the official SDK, which cannot share one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.sdk_clients.processes import serve_program
from tests.environments import create_environment

HERE = Path(__file__).parent

GENERATIONS = ("0_3", "1_0")


async def converse(generation: str, card_url: str, text: str, bearer: str = "") -> dict[str, Any]:
    """Run the client of `generation` against the agent of a card; return its JSON output."""
    return await run_client(generation, f"client_{generation}.py", card_url, text, bearer)


@asynccontextmanager
async def serve_official_agent() -> AsyncIterator[str]:
    """Run the agent of the SDK of 0.3 for the length of the block; yields its address."""
    python = await asyncio.to_thread(create_environment, HERE / "requirements_0_3.txt")
    async with serve_program(python, HERE / "agent_0_3.py") as url:
        yield url


async def run_client(generation: str, program: str, *arguments: str) -> dict[str, Any]:
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
