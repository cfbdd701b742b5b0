"""A pytest plugin that skips tests marked `nginx` without nginx, or fails them if nginx is required."""

import os
import shutil
from functools import cache

import pytest

REQUIRED = os.environ.get("MOLECULE_REQUIRE_NGINX") == "1"
NAME = os.environ.get("MOLECULE_NGINX", "nginx")


@cache
def find_nginx() -> str | None:
    """Return the path of nginx. Debian installs it where only root searches."""
    return shutil.which(NAME, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("nginx") is None or find_nginx():
        return
    if REQUIRED:
        pytest.fail("MOLECULE_REQUIRE_NGINX=1, and there is no nginx", pytrace=False)
    pytest.skip("there is no nginx")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.getreports("skipped") if "nginx" in report.keywords]
    if skipped:
        terminalreporter.write_line(
            f"NO NGINX: {len(skipped)} tests that need it were SKIPPED; on Debian: apt install nginx",
            yellow=True,
            bold=True,
        )
