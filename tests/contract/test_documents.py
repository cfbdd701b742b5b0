"""Paths, links, make targets and modules that the documents name exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

DOCUMENTS = [
    *("README.md", "HOUSE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "adr").glob("*.md")),
]

FOLDERS = {
    "protos",
    "services",
    "gateway",
    "molecule_agent",
    "molecule_cli",
    "molecule_http",
    "molecule_a2a",
    "deploy",
    "bench",
    "chaos",
    "docs",
    "tests",
}

PATH = re.compile(rf"(?<![\w/.$~-])((?:{'|'.join(sorted(FOLDERS))})(?:/[\w*.-]+)+/?)")

LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")

MAKE = re.compile(r"`make ([a-z0-9-]+)|^make ([a-z0-9-]+)", re.MULTILINE)

MODULE = re.compile(r"python -m ([a-z_0-9.]+)")


def text(document):
    return (ROOT / document).read_text()


def targets():
    return set(re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_is_named_exists(document):
    named = {path.rstrip(".") for path in PATH.findall(text(document)) if "*" not in path}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_has_a_target(document):
    linked = LINK.findall(text(document))
    assert [link for link in linked if not (ROOT / document).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document):
    named = {first or second for first, second in MAKE.findall(text(document))}
    assert named - targets() == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_that_is_to_be_run_exists(document):
    named = {module.rstrip(".").replace(".", "/") for module in MODULE.findall(text(document))}
    missing = [
        name for name in named if not (ROOT / f"{name}.py").exists() and not (ROOT / name / "__main__.py").exists()
    ]
    assert missing == []


def test_each_goal_of_an_attacker_has_one_row():
    rows = re.findall(r"^\| (an?|another|the) ([^|]+) \| ([^|]+) \|", text("docs/security.md"), re.MULTILINE)
    named = [" ".join(row) for row in rows]
    assert len(named) > 10
    assert [name for name in named if named.count(name) > 1] == []


def test_the_walks_name_existing_files():
    architecture = text("docs/architecture.md")
    for name in (
        "exchange.py",
        "envelope.py",
        "route_cache.py",
        "routing.py",
        "agent_client.py",
        "timeouts.py",
        "outcome.py",
        "activity.py",
        "delivery.py",
    ):
        assert f"services/a2a_proxy/{name}" in architecture
        assert (ROOT / "services" / "a2a_proxy" / name).exists()


def test_make_without_a_target_lists_the_targets():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    named = set(re.findall(r"make ([a-z0-9-]+)", done.stdout))
    assert {
        "up",
        "test",
        "check",
        "e2e",
        "protos",
        "migrate",
        "settings",
        "promises",
        "bench",
        "bench-registry",
        "bench-delivery",
        "chaos",
    } <= named


def test_a_missing_path_is_detected():
    assert PATH.findall("see `services/registry/oracle.py` and https://x/services/y") == ["services/registry/oracle.py"]
