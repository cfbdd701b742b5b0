"""Fixtures of the deployment's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import postgres_server


@pytest.fixture
def home() -> Iterator[Path]:
    with postgres_server.temporary_home() as home:
        yield home
