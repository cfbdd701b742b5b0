"""Images for tests on a Docker Engine, made without any registry."""

import fcntl
import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from tests import docker_engine

ROOT = Path(__file__).parent.parent

BASE_IMAGE_SCRIPT = ROOT / "deploy" / "workspace" / "base_image.sh"

WORKSPACE_IMAGE_SCRIPT = ROOT / "deploy" / "workspace" / "build.sh"

WORKSPACE_IMAGE = "molecule-workspace:test"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "molecule"

SLEEPING_AGENT = """\
FROM {base}
CMD ["sleep", "600"]
"""


@cache
def build_base_image() -> str:
    """Return the name of the base image; the first call on a machine makes it, which takes a minute.

    Where images can be pulled, MOLECULE_TEST_BASE_IMAGE may name one with Python instead.
    """
    if given := os.environ.get("MOLECULE_TEST_BASE_IMAGE"):
        return given
    if shutil.which("debootstrap") is None and not docker_engine.REQUIRED:
        pytest.skip("debootstrap is not installed, and MOLECULE_TEST_BASE_IMAGE names no image")
    return _run_once(str(BASE_IMAGE_SCRIPT))


@cache
def build_sleeping_image() -> str:
    """Return the name of an image whose agent sleeps, without the directories of the contract."""
    name = f"molecule-test-agent:{sha256(build_base_image().encode()).hexdigest()[:12]}"
    dockerfile = SLEEPING_AGENT.format(base=build_base_image())
    return _run_once("docker", "build", "--quiet", "--tag", name, "-", text=dockerfile) and name


@cache
def build_workspace_image() -> str:
    """Return the name of the image of workspaces, built on the base image."""
    return _run_once(str(WORKSPACE_IMAGE_SCRIPT), build_base_image(), WORKSPACE_IMAGE)


def _run_once(*command: str, text: str = "") -> str:
    """Run a command while no other process of the suite runs one, and return its last line."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
