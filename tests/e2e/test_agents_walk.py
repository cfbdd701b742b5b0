"""The walk in docs/agents.md leads from an empty directory to two agents that work for each other."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]

SECTION = (ROOT / "docs" / "agents.md").read_text().partition("\n## Behind NAT\n")[2].partition("\n## ")[0]

ADAPTERS = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)

COMMANDS = re.findall(r"^\$ (\.venv/bin/molecule send .*)\n(.*)$", SECTION, re.MULTILINE)


def read_block(title: str) -> str:
    """Return the shell block of the section that begins with this comment."""
    [block] = re.findall(rf"^```sh\n# {title}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The directory with the built distributions of this repository."""
    folder = tmp_path_factory.mktemp("wheels")
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


async def run(script: str, directory: Path, environment: dict[str, str]) -> str:
    """Run a script in a shell of its own session, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", script),
        cwd=directory,
        env={"PATH": os.defpath + os.pathsep + os.environ["PATH"], "HOME": str(directory), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@pytest.mark.covers("AGT-10", "BEY-11")
async def test_two_agents_of_different_adapters_delegate_to_each_other_as_the_page_says(empty_plane, wheels, tmp_path):
    plane = empty_plane
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "PIP_FIND_LINKS": str(wheels)}
    await run(read_block("install"), tmp_path, offline)
    others = [str(one) for one in wheels.glob("*.whl") if not one.name.startswith("molecule-")]
    if others:
        await run(f".venv/bin/pip install {shlex.join(others)}", tmp_path, offline)
    for name, text in ADAPTERS:
        (tmp_path / name).write_text(text)
        assert len(text.split("class ")[1].splitlines()) <= 10, name
    # The packages of others come from the environment of the test, which does not process its own links here.
    environment = {"MOLECULE_URL": plane.url, "PYTHONPATH": sysconfig.get_path("purelib")}
    location = await run(
        ".venv/bin/python -c 'import molecule_agent; print(molecule_agent.__file__)'", tmp_path, environment
    )
    assert location.startswith(str(tmp_path))

    with (tmp_path / "log.txt").open("wb") as log:
        agents = await asyncio.create_subprocess_exec(
            *("sh", "-ec", read_block("connect") + "wait\n"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:

        async def are_online():
            answer = await plane.http.get("/workspaces")
            found = {one["name"]: one["status"] for one in answer.json()} if answer.is_success else {}
            return all(found.get(Path(name).stem) == "online" for name, _ in ADAPTERS)

        try:
            await eventually(are_online, within=150)
        except AssertionError:
            raise AssertionError((tmp_path / "log.txt").read_text()) from None

        assert len(COMMANDS) == 2
        for command, shown in COMMANDS:
            printed = await run(command, tmp_path, environment)
            assert printed.splitlines()[-1] == shown, printed
        delegations = [
            (await plane.http.get(f"/workspaces/{one['id']}/delegations")).json()
            for one in (await plane.http.get("/workspaces")).json()
        ]
        assert all("completed" in {row["status"] for row in rows} for rows in delegations)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(agents.pid, signal.SIGKILL)
        await agents.wait()
