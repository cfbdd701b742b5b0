"""Fixtures and pytest settings for all tests."""

import gc
import os

# Until the tests are collected, nearly nothing becomes garbage: looking for it takes a quarter of the time.
gc.disable()

# This must be set before gRPC is imported: gRPC would run its fork handlers in a child that changes its user.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest

from tests import databases
from tests.clocks import StillClock

pytest_plugins = ["tests.docker_engine", "tests.nginx_binary", "tests.java_toolchain"]

# The duration of an example depends on the load of the machine, so it has no deadline.
hypothesis.settings.register_profile("molecule", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("molecule")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A PostgreSQL for the length of the session, with the roles and schemas of the plane."""
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        databases.apply_roles(url)
        yield url
        databases.drop_templates()
        return
    # Not in pytest's own directories: each pytest that starts removes the access of PostgreSQL's user to them.
    with TemporaryDirectory(prefix="molecule-tests-") as home, databases.run_server(Path(home)) as url:
        databases.apply_roles(url)
        yield url


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def pytest_collection_finish() -> None:
    """Look for garbage from now on, and never among what the collection of thousands of tests has left."""
    gc.freeze()
    gc.enable()
