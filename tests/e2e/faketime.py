"""Sets the clock of single processes, with libfaketime: the time of day only, not the clock that measures durations."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests import docker_engine


class Faketime:
    """A time that processes read with these variables; it is off by what a file says."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        self.jump(timedelta(0))

    def jump(self, offset: timedelta) -> None:
        """Let the processes see a time that is off by so much from now on."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{offset.total_seconds():+.0f}\n")
        written.replace(self._file)


def find_faketime() -> Path:
    """Return the library; skip the test where it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        if docker_engine.REQUIRED:
            pytest.fail("MOLECULE_REQUIRE_DOCKER=1, and libfaketime is not installed")
        pytest.skip("libfaketime is not installed")
    return found[0]
