"""Images for tests on a Docker Engine, made without any registry."""

import fcntl
import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

BASE_IMAGE_SCRIPT = ROOT / "deploy" / "workspace" / "base_image.sh"

WORKSPACE_IMAGE_SCRIPT = ROOT / "deploy" / "workspace" / "build.sh"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "molecule"

SLEEPING_AGENT = """\
FROM {base}
CMD ["sleep", "600"]
"""


@cache
def build_base_image() -> str:
    """Return the name of the base image; the first call on a machine makes it, which takes a minute."""
    return _run_once(str(BASE_IMAGE_SCRIPT))


@cache
def build_sleeping_image() -> str:
    """Return the name of an image whose agent sleeps, without the directories of the contract."""
    name = build_base_image().replace("molecule-base", "molecule-test-agent")
    dockerfile = SLEEPING_AGENT.format(base=build_base_image())
    return _run_once("docker", "build", "--quiet", "--tag", name, "-", text=dockerfile) and name


@cache
def build_workspace_image() -> str:
    """Return the name of the image of workspaces, built on the base image."""
    return _run_once(str(WORKSPACE_IMAGE_SCRIPT), build_base_image())


def _run_once(*command: str, text: str = "") -> str:
    """Run a command while no other process of the suite runs one, and return its last line."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
