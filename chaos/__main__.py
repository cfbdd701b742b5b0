"""Runs chaos: `python -m chaos --minutes 10 --seed 1`; ends with 1 if a promise was broken. The last line is JSON."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.faults import ALL_FAULTS, SHORT_FAULTS
from chaos.report import build_coverage, build_lines, build_summary, save_violations
from chaos.run import ChaosRun
from chaos.settings import UNLIMITED_ROUNDS, RunSettings

MAX_SEED = 1_000_000


def main() -> None:
    """Run, print the report, and end with the status."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the load")
    parser.add_argument("--seed", type=int, default=None, help="of the messages and the faults; random if absent")
    parser.add_argument("--rate", type=float, default=60.0, help="messages a second")
    parser.add_argument("--short", action="store_true", help="each short fault once; --minutes is the longest time")
    parser.add_argument("--keep", action="store_true", help="keep the records, also if no promise was broken")
    given = parser.parse_args()
    seed = secrets.randbelow(MAX_SEED) if given.seed is None else given.seed
    settings = RunSettings(
        seed=seed, seconds=given.minutes * 60, rate=given.rate, rounds=1 if given.short else UNLIMITED_ROUNDS
    )
    directory = Path(tempfile.mkdtemp(prefix="molecule-chaos-"))
    _print(f"seed {seed}, {given.minutes:g} minutes, {given.rate:g} messages a second; records are in {directory}")
    faults = SHORT_FAULTS if given.short else ALL_FAULTS
    run = ChaosRun(settings, faults, directory=directory, report=_print)
    verdict = asyncio.run(run.run())
    for line in build_lines(verdict, directory=directory):
        _print(line)
    if verdict.violations:
        save_violations(verdict, directory / "violations")
    elif not given.keep:
        shutil.rmtree(directory, ignore_errors=True)
    if coverage := build_coverage(faults, run.injected):
        _print(coverage)
    _print(build_summary(verdict, seed=seed, minutes=given.minutes, faults=len(run.injected)))
    sys.exit(1 if verdict.violations else 0)


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
