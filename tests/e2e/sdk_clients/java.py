"""
Client programs with the official Java SDKs: the last of A2A 0.3, and the first that speaks 1.0, which follows a draft.

Maven Central lists later ones of 1.0 under another name (`org.a2aproject.sdk`), which not every mirror serves.
"""

import asyncio
import hashlib
import subprocess
from functools import partial
from itertools import chain
from pathlib import Path

from tests.e2e.sdk_clients.processes import Cells, Targets, read_json
from tests.environments import CACHE, create_folder

HERE = Path(__file__).parent / "java"

FOLDERS = {"0.3": HERE / "client_0_3", "1.0": HERE / "client_1_0"}
"""The client program of each version."""


async def run_clients(version: str, binding: str, targets: Targets) -> Cells:
    """Have the client of a version try every operation with each agent; return what came of it."""
    home = await asyncio.to_thread(build_program, FOLDERS[version])
    described = [(name, one.url, ",".join(one.habits), one.grpc) for name, one in targets.items()]
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/classes:{home}/lib/*", "Main"]
    found: Cells = await read_json(*command, binding, *chain.from_iterable(described))
    return found


def build_program(folder: Path) -> Path:
    """Return the folder of a program and its packages; fetch and compile them if they are missing."""
    sources = (HERE / "Operations.java", folder / "Main.java", folder / "pom.xml")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    home = CACHE / f"java-{digest}"
    create_folder(home, partial(_build, folder))
    return home


def _build(folder: Path, new: Path) -> None:
    new.mkdir()
    fetch = ["mvn", "--batch-mode", "--quiet", "--file", folder / "pom.xml", "dependency:copy-dependencies"]
    subprocess.run([*fetch, f"-DoutputDirectory={new / 'lib'}", "-DincludeScope=runtime"], cwd=new, check=True)
    sources = [HERE / "Operations.java", folder / "Main.java"]
    subprocess.run(["javac", "-d", new / "classes", "-cp", f"{new / 'lib'}/*", *sources], check=True)
