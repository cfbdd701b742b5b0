"""A program with the official Go SDKs of both versions of A2A."""

import asyncio
import hashlib
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.sdk_clients.processes import Cells, Targets, read_json, serve_program, write_targets
from tests.environments import CACHE, create_environment, create_folder

HERE = Path(__file__).parent / "go"

MIN_MINOR = 25
"""The oldest Go 1 that the SDKs compile with. On a machine without one it is installed from the package index."""


async def run_clients(version: str, binding: str, targets: Targets) -> Cells:
    """Have the client of a version try every operation with each agent; return what came of it."""
    program = await asyncio.to_thread(build_program)
    found: Cells = await read_json(program, "client", version, binding, write_targets(targets))
    return found


@asynccontextmanager
async def serve_agent(version: str) -> AsyncIterator[str]:
    """Run the agent of a version for the length of the block; yields its address."""
    async with serve_program(await asyncio.to_thread(build_program), "agent", version) as url:
        yield url


def build_program() -> Path:
    """Return the program; compile it if it is missing."""
    sources = [path for path in sorted(HERE.iterdir()) if path.suffix in {".go", ".mod", ".sum"}]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    home = CACHE / f"go-{digest}"
    create_folder(home, _build)
    return home / "sdk"


def _build(new: Path) -> None:
    command = [_find_go(), "build", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-o", new / "sdk", "."]
    subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.DEVNULL)


def _find_go() -> str | Path:
    """Return the compiler: of this machine if it is new enough, else of the package index."""
    if shutil.which("go") is not None:
        printed = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"go1\.(\d+)", printed)
        if found is not None and int(found[1]) >= MIN_MINOR:
            return "go"
    home = create_environment(HERE / "requirements.txt").parent.parent
    [go] = home.glob("lib/python*/site-packages/go/bin/go")
    return go
