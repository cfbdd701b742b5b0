"""What every test may ask for by name."""

import os

# Before gRPC is imported: it would run handlers of its own in a child that was forked to become another user.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest

from tests import databases
from tests.clocks import StillClock

pytest_plugins = ["tests.docker_engine"]

# How long an example takes is a matter of the machine, and machines that test are busy.
hypothesis.settings.register_profile("molecule", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("molecule")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A PostgreSQL for the length of the session, with the roles and schemas of the plane."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        databases.prepare(given)
        yield given
        return
    # Outside pytest's own directories: every other pytest that starts closes those to PostgreSQL's user.
    with TemporaryDirectory(prefix="molecule-tests-") as home, databases.embedded(Path(home)) as url:
        databases.prepare(url)
        yield url


@pytest.fixture
def clock() -> StillClock:
    return StillClock()
