"""Virtual environments for the two versions of the official client, which cannot share one."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

CACHE = Path.home() / ".cache" / "molecule-tests"
"""The environments are kept after the run; each list of requirements has one."""

GENERATIONS = ("0_3", "1_0")


async def converse(generation: str, card_url: str, text: str, bearer: str = "") -> dict[str, Any]:
    """Run the client of `generation` against the agent of a card; return its JSON output."""
    python = await asyncio.to_thread(environment, generation)
    client = await asyncio.create_subprocess_exec(
        *(python, HERE / f"client_{generation}.py", card_url, text, bearer),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await asyncio.wait_for(client.communicate(), 60)
    assert client.returncode == 0, complaint.decode()
    return json.loads(printed)


def environment(generation: str) -> Path:
    """Return the Python with the client of `generation`; create its environment if it is missing."""
    requirements = HERE / f"requirements_{generation}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = CACHE / f"a2a-{generation}-{digest}"
    if not home.exists():
        _make(home, requirements)
    return home / "bin" / "python"


def _make(home: Path, requirements: Path) -> None:
    """Create the environment in a temporary folder and rename it, so that an interrupted run leaves no partial one."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as workshop:
        new = Path(workshop) / "environment"
        for command in _commands(new, requirements):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        try:
            new.replace(home)
        except OSError:
            if not home.exists():
                raise


def _commands(new: Path, requirements: Path) -> list[list[str | Path]]:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = os.environ.get("UV") or shutil.which("uv", path=beside)
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, new],
            [uv, "pip", "install", "--quiet", "--python", new / "bin" / "python", "--requirement", requirements],
        ]
    return [
        [sys.executable, "-m", "venv", new],
        [new / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--requirement", requirements],
    ]
