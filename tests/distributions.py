"""The distributions of this repository, built as wheels and installed into environments that have nothing else."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

UV = Path(sys.executable).with_name("uv")

FOLDERS = {"molecule": ROOT, "molecule-agent": ROOT / "distributions" / "molecule-agent"}

CLEAN = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/")}
"""The environment for builds: it names no Python path, so that nothing of the repository is found by accident."""


def build_wheel(name: str, folder: Path) -> Path:
    """Build a distribution and return the path of its wheel in `folder`."""
    command = (sys.executable, "-P", "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    subprocess.run(command, check=True, cwd=FOLDERS[name], env=CLEAN, capture_output=True)
    (wheel,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


def install_wheels(environment: Path, package: str, *wheels: Path) -> Path:
    """Install the locked dependencies of `package` and the wheels into a new environment; return its `bin`."""
    requirements = environment.with_suffix(".txt")
    export = ("export", "--frozen", "--package", package, "--no-dev", "--no-emit-workspace", "--quiet")
    subprocess.run((UV, *export, "--output-file", requirements), check=True, cwd=ROOT, capture_output=True)
    subprocess.run((UV, "venv", "--quiet", "--python", sys.executable, environment), check=True)
    # Compiled as pip does it: a program that compiles what it imports takes more memory.
    install = (
        UV,
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--no-deps",
        "--python",
        environment / "bin" / "python",
    )
    subprocess.run((*install, "--require-hashes", "--requirement", requirements), check=True)
    subprocess.run((*install, *wheels), check=True)
    return environment / "bin"
