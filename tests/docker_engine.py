"""A pytest plugin that skips tests marked `docker` without a Docker Engine, or fails them if an engine is required."""

import os
import shutil
import subprocess
from functools import cache

import pytest

REQUIRED = os.environ.get("MOLECULE_REQUIRE_DOCKER") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") is None or engine_answers():
        return
    if REQUIRED:
        pytest.fail("MOLECULE_REQUIRE_DOCKER=1, and no Docker Engine answers", pytrace=False)
    pytest.skip("no Docker Engine answers")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.getreports("skipped") if "docker" in report.keywords]
    if skipped:
        terminalreporter.write_line(
            f"NO DOCKER ENGINE: {len(skipped)} tests that need one were SKIPPED", yellow=True, bold=True
        )


@cache
def engine_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, timeout=20, check=False).returncode == 0
