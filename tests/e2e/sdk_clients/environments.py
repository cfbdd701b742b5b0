"""Virtual environments for the two versions of the official client, which cannot share one."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.environments import create_environment

HERE = Path(__file__).parent

GENERATIONS = ("0_3", "1_0")


async def converse(generation: str, card_url: str, text: str, bearer: str = "") -> dict[str, Any]:
    """Run the client of `generation` against the agent of a card; return its JSON output."""
    return await run_client(generation, f"client_{generation}.py", card_url, text, bearer)


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
