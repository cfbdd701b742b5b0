"""What every test may ask for by name."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests import databases
from tests.clocks import StillClock

# How long an example takes is a matter of the machine, and machines that test are busy.
hypothesis.settings.register_profile(
    "molecule", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("molecule")


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL for the length of the session, with the roles and schemas of the plane."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        databases.prepare(given)
        yield given
        return
    with databases.embedded(tmp_path_factory.mktemp("postgres")) as url:
        databases.prepare(url)
        yield url


@pytest.fixture
def clock() -> StillClock:
    return StillClock()
