"""A short chaos run: every process is killed under load, and no message is lost or doubled."""

import shutil
import tempfile
from pathlib import Path

import pytest

from chaos.faults import KILLS
from chaos.report import build_lines, build_summary
from chaos.run import ChaosRun
from chaos.settings import RunSettings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(450)]

SEED = 1

LONGEST_SECONDS = 240
"""The load ends after the last kill, usually within a minute; a slow machine has the time to reach it too."""

MIN_ACCEPTED = 100
"""Accepted messages below which the kills did not strike a plane at work."""


@pytest.fixture
def directory():
    """A directory that PostgreSQL's user may enter, and that is kept for people if the test fails."""
    return Path(tempfile.mkdtemp(prefix="molecule-chaos-"))


@pytest.mark.covers("BEY-01", "BEY-24")
async def test_no_message_is_lost_or_doubled_when_every_process_is_killed(directory):
    settings = RunSettings(seed=SEED, seconds=LONGEST_SECONDS, rounds=1, rate=40, quiet_seconds=60)
    run = ChaosRun(settings, KILLS, directory=directory, report=print)

    verdict = await run.run()

    print(*build_lines(verdict, directory=directory), sep="\n")  # noqa: T201 - a result for the log of the suite
    print(build_summary(verdict, seed=SEED, minutes=settings.seconds / 60, faults=len(run.injected)))  # noqa: T201 - the same
    assert verdict.violations == []
    assert sorted(run.injected) == sorted(fault.name for fault in KILLS)
    assert verdict.accepted >= MIN_ACCEPTED
    assert min(verdict.delivered, verdict.completed, verdict.answered) > 0
    shutil.rmtree(directory, ignore_errors=True)
