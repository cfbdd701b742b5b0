"""A client program with the official Java SDK of A2A 0.3. The index of Maven has no release of its 1.0."""

import asyncio
import hashlib
import subprocess
from itertools import chain
from pathlib import Path

from tests.e2e.sdk_clients.processes import Cells, Targets, read_json
from tests.environments import CACHE, create_folder

HERE = Path(__file__).parent / "java"

SOURCES = ("pom.xml", "Operations.java", "Main.java")


async def run_clients(version: str, binding: str, targets: Targets) -> Cells:
    """Have the client of a version try every operation with each agent; return what came of it."""
    assert version == "0.3"
    home = await asyncio.to_thread(build_program)
    described = [(name, one.url, ",".join(one.habits), one.grpc) for name, one in targets.items()]
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/classes:{home}/lib/*", "Main"]
    found: Cells = await read_json(*command, binding, *chain.from_iterable(described))
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
