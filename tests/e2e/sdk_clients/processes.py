"""Runs the programs of official SDKs: clients that print what they found, and agents that print their address."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


async def read_cells(*command: str | Path) -> dict[str, dict[str, str]]:
    """Run a client to its end; return what came of each operation with each agent, which it prints as JSON."""
    client = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaint = await asyncio.wait_for(client.communicate(), 240)
    assert client.returncode == 0, complaint.decode()
    found: dict[str, dict[str, str]] = json.loads(printed)
    return found


@asynccontextmanager
async def serve_program(*command: str | Path) -> AsyncIterator[str]:
    """Run an agent for the length of the block; yields its address, which it prints in its first line."""
    agent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert agent.stdout is not None
    try:
        yield (await asyncio.wait_for(agent.stdout.readline(), 60)).decode().strip()
    finally:
        agent.kill()
        await agent.wait()
