"""The distribution molecule-agent, installed into an environment that has nothing of the plane."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.distributions import build_wheel, install_wheels
from tests.molecule_agent.a2a_client import text_of
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.waiting import eventually

MAX_IDLE_BYTES = 60 * 1024 * 1024

LATE_PACKAGES = {"a2a", "anthropic", "google", "langgraph", "mcp", "openai", "pydantic", "starlette"}
"""What the agent imports after it has registered, or for one adapter only."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The `bin` of an environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("distribution")
    return install_wheels(folder / "environment", "molecule-agent", build_wheel("molecule-agent", folder))


def run_python(installed: Path, program: str, cwd: Path) -> str:
    command = (installed / "python", "-I", "-c", program)
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd, env={}).stdout


@pytest.mark.covers("AGT-11")
@pytest.mark.parametrize("module", ["platform_inbound_auth", "internal_chat_uploads", "internal_file_read"])
def test_the_built_package_has_the_modules_for_files(installed, tmp_path, module):
    place = run_python(installed, f"import molecule_agent.{module} as found; print(found.__file__)", tmp_path)

    assert Path(place.strip()).is_relative_to(installed.parent)


def test_the_package_contains_nothing_of_the_plane(installed, tmp_path):
    program = (
        "import importlib.util as u; print([n for n in ('services', 'gateway', 'deploy', 'protos') if u.find_spec(n)])"
    )

    assert run_python(installed, program, tmp_path) == "[]\n"


def test_an_agent_imports_no_sdk_before_it_has_registered(tmp_path):
    program = "import sys, molecule_agent.__main__; print(*sys.modules)"
    loaded = subprocess.run((sys.executable, "-c", program), check=True, capture_output=True, text=True).stdout

    assert LATE_PACKAGES.isdisjoint(loaded.split())


async def test_an_idle_agent_takes_less_than_60_mib(installed, plane, client, tmp_path):
    environment = {"WORKSPACE_ID": WORKSPACE_ID, "PLATFORM_URL": plane.url, "MOLECULE_ROOT": str(tmp_path)}
    with subprocess.Popen((installed / "molecule-agent",), cwd=tmp_path, env=environment) as process:
        try:
            await eventually(lambda: plane.registered and plane.heartbeats, within=60)
            # The answer shows that the agent has loaded everything.
            assert text_of(await client.send_message(plane.registered[0]["url"], "hello")) == "hello"

            assert psutil.Process(process.pid).memory_info().rss < MAX_IDLE_BYTES
        finally:
            process.kill()
