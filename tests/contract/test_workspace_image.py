"""The packages of the workspace image are those of the lock."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

REQUIREMENTS = ROOT / "deploy" / "workspace" / "requirements.txt"


def test_packages_of_the_image_are_those_of_the_lock():
    uv = Path(sys.executable).with_name("uv")
    command = (uv, "export", "--frozen", "--offline", "--only-group", "agent", "--no-emit-project", "--no-annotate")
    exported = subprocess.run(
        (*command, "--no-header", "--quiet"), capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout

    assert REQUIREMENTS.read_text() == exported, (
        f"run: uv export --frozen --only-group agent --no-emit-project --no-annotate --no-header -o {REQUIREMENTS.name}"
    )


def test_agents_need_nothing_else_of_the_plane():
    copied = re.findall(
        r"^COPY (molecule_\w+) ", (ROOT / "deploy" / "workspace" / "Dockerfile").read_text(), re.MULTILINE
    )
    sources = [path.read_text() for name in copied for path in (ROOT / name).rglob("*.py")]
    imported = {
        found
        for text in sources
        for found in re.findall(
            r"^\s*(?:from|import) (molecule_\w+|services|gateway|protos|deploy)\b", text, re.MULTILINE
        )
    }

    assert imported <= set(copied)
