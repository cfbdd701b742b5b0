"""A client program with the official Java SDK of A2A 0.3. The index of Maven has no release of its 1.0."""

import asyncio
import hashlib
import subprocess
from pathlib import Path

from tests.e2e.sdk_clients.processes import Cells, read_json
from tests.environments import CACHE, create_folder

HERE = Path(__file__).parent / "java"

SOURCES = ("pom.xml", "Operations.java", "Main.java")

BINDINGS = ("JSONRPC", "HTTP+JSON")

UNNAMED_ERROR = "broken: io.a2a.spec.A2AClientException: "
"""How a cell begins in which the client read the text of an error, but no code."""


async def run_clients(binding: str, agents: dict[str, str]) -> Cells:
    """Have the client try every operation with each agent; return what came of it."""
    home = await asyncio.to_thread(build_program)
    names = [word for agent in agents.items() for word in agent]
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/classes:{home}/lib/*", "Main"]
    found: Cells = await read_json(*command, binding, *names)
    return found


def build_program() -> Path:
    """Return the folder of the program and its packages; fetch and compile them if they are missing."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    home = CACHE / f"java-{digest}"
    create_folder(home, _build)
    return home


def _build(new: Path) -> None:
    new.mkdir()
    fetch = ["mvn", "--batch-mode", "--quiet", "--file", HERE / "pom.xml", "dependency:copy-dependencies"]
    subprocess.run([*fetch, f"-DoutputDirectory={new / 'lib'}", "-DincludeScope=runtime"], cwd=new, check=True)
    sources = [HERE / name for name in SOURCES if name.endswith(".java")]
    subprocess.run(["javac", "-d", new / "classes", "-cp", f"{new / 'lib'}/*", *sources], check=True)
