from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import servers


@pytest.fixture
def home() -> Iterator[Path]:
    with servers.home() as home:
        yield home
