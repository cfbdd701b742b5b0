"""Virtual environments with packages that cannot share the environment of the plane."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CACHE = Path.home() / ".cache" / "molecule-tests"
"""The environments are kept after the run; each list of requirements has one."""


def create_environment(requirements: Path) -> Path:
    """Return the Python of an environment with the packages of a requirements file; create it if it is missing."""
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = CACHE / f"{requirements.stem}-{digest}"
    create_folder(home, lambda new: _install(new, requirements))
    return home / "bin" / "python"


def create_folder(home: Path, make: Callable[[Path], None]) -> None:
    """
    Create a folder of the cache if it is missing.

    `make` creates it under a temporary name, so that an interrupted run leaves no partial one. Other processes that
    need the same folder wait for it.
    """
    if home.exists():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return
        with tempfile.TemporaryDirectory(dir=home.parent) as workshop:
            new = Path(workshop) / "environment"
            make(new)
            new.replace(home)


def _install(new: Path, requirements: Path) -> None:
    for command in _commands(new, requirements):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _commands(new: Path, requirements: Path) -> list[list[str | Path]]:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    uv = os.environ.get("UV") or shutil.which("uv", path=beside)
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, new],
            [uv, "pip", "install", "--quiet", "--python", new / "bin" / "python", "--requirement", requirements],
        ]
    return [
        [sys.executable, "-m", "venv", new],
        [new / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--requirement", requirements],
    ]
