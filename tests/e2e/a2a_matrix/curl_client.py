"""Runs the commands of docs/a2a.md as they stand on the page."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[3] / "docs" / "a2a.md").read_text()

AUTHORIZATION = ' -H "Authorization: Bearer $TOKEN"'
"""What the page says to leave out for development."""


class CurlClient:
    """A person with a shell and curl, who follows the page on a plane for development."""

    def __init__(self, plane_url: str, workspace_id: str) -> None:
        self.variables = {"PLANE": plane_url, "ID": workspace_id}
        """What the page says to set."""

    async def read(self, title: str, text: str = "hello") -> Any:
        """Return the JSON that the block which begins with this comment prints."""
        return json.loads(await self._run(read_block(title), text))

    async def read_events(self, title: str, text: str = "hello") -> list[Any]:
        """Return the events that the block prints."""
        lines = (await self._run(read_block(title), text)).splitlines()
        return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]

    async def read_by_rpc(self) -> Any:
        """Return what the command of the page by JSON-RPC prints."""
        [block] = re.findall(r"^```console\n\$ (.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        return json.loads(await self._run(block, "hello"))

    async def _run(self, command: str, text: str) -> str:
        assert AUTHORIZATION in command
        shell = await asyncio.create_subprocess_exec(
            *("sh", "-c", command.replace(AUTHORIZATION, "").replace("hello", text)),
            env={**os.environ, **self.variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await asyncio.wait_for(shell.communicate(), 30)
        assert shell.returncode == 0, complaint.decode()
        return printed.decode()


def read_block(title: str) -> str:
    """Return the shell block of the page that begins with this comment."""
    [block] = re.findall(rf"^```sh\n# {title}\b.*?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return block
