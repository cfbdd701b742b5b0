"""Runs the `molecule` command as users do: as a process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The directory in which the command runs."""


def molecule(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables and no others."""
    return subprocess.run(
        [sys.executable, "-m", "molecule_cli", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "MOLECULE_CONFIG": "/nowhere", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
