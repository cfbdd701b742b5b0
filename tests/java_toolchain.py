"""A pytest plugin that skips tests marked `java` without a JDK and Maven, or fails them if these are required."""

import os
import re
import shutil
import subprocess
from functools import cache

import pytest

REQUIRED = os.environ.get("MOLECULE_REQUIRE_JAVA") == "1"

MIN_JAVA = 17
"""The oldest Java that the official SDK runs on."""


@cache
def has_java() -> bool:
    """Whether this machine has `javac`, `java` and `mvn`, and they are new enough."""
    if not all(shutil.which(name) for name in ("javac", "java", "mvn")):
        return False
    printed = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r"javac (\d+)", printed.stdout + printed.stderr)
    return found is not None and int(found[1]) >= MIN_JAVA


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("java") is None or has_java():
        return
    if REQUIRED:
        pytest.fail(f"MOLECULE_REQUIRE_JAVA=1, and there is no JDK {MIN_JAVA} with Maven", pytrace=False)
    pytest.skip(f"there is no JDK {MIN_JAVA} with Maven")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.getreports("skipped") if "java" in report.keywords]
    if skipped:
        terminalreporter.write_line(
            f"NO JAVA: {len(skipped)} tests that need it were SKIPPED; "
            "on Debian: apt install openjdk-17-jdk-headless maven",
            yellow=True,
            bold=True,
        )
