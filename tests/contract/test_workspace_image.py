"""The packages of the workspace image are those of the lock."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

FOLDER = ROOT / "deploy" / "workspace"

PACKAGES = {
    "requirements.txt": "--package molecule-agent --extra anthropic --extra openai --extra mcp",
    "build-requirements.txt": "--only-group build",
}
"""The files with the packages of the image, and the arguments of `uv export` that choose them."""

EXPORT = "export --frozen --offline --no-emit-workspace --no-annotate --no-header --quiet"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_of_the_image_are_those_of_the_lock(name):
    command = (Path(sys.executable).with_name("uv"), *EXPORT.split(), *PACKAGES[name].split())
    exported = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert (FOLDER / name).read_text() == exported, f"run: uv {EXPORT} {PACKAGES[name]} -o deploy/workspace/{name}"


def test_the_distribution_of_agents_has_the_licence_of_the_repository():
    assert (ROOT / "distributions" / "molecule-agent" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


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
