"""Runs the programs of official SDKs and frameworks: clients that print what they found, and agents that serve."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Cells = dict[str, dict[str, str]]
"""What a client found, by the names of agents and of operations."""

CLIENT_SECONDS = 240
"""How long a client may run. It is less than the time limit of every test that runs one."""

START_SECONDS = 240
"""How long an agent may take to serve. Frameworks compile their modules at first."""


@dataclass(frozen=True, slots=True)
class Target:
    """Describes an agent to a client program."""

    url: str
    """The address at which its card is found, with a slash at the end."""

    habits: tuple[str, ...] = ()
    """What the agent does with a task that waits: the names of the fields of `Habits`."""

    grpc: str = ""
    """The address for gRPC of 0.3, which the card does not offer."""


Targets = dict[str, Target]
"""Agents by their names."""


def write_targets(targets: Targets) -> str:
    """Return the argument of a client program."""
    return json.dumps({name: asdict(target) for name, target in targets.items()})


async def read_json(*command: str | Path) -> Any:
    """Run a client to its end; return the JSON that it prints."""
    client = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, complaint = await asyncio.wait_for(client.communicate(), CLIENT_SECONDS)
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    assert client.returncode == 0, complaint.decode()
    return json.loads(printed)


@asynccontextmanager
async def serve_program(*command: str | Path) -> AsyncIterator[str]:
    """Run an agent for the length of the block; yields its address, which it prints in its first line."""
    agent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert agent.stdout is not None
    try:
        url = (await asyncio.wait_for(agent.stdout.readline(), START_SECONDS)).decode().strip()
        assert url, f"{command} ended before it served"
        yield url
    finally:
        if agent.returncode is None:
            agent.kill()
        await agent.wait()
