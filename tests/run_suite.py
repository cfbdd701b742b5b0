"""Runs the phases of the test suite and gives each failed test a second try: `python -m tests.run_suite --phase=ARGS`.

A phase is one run of pytest with its own arguments and its own cache. After the last phase, the failed tests of each
phase run once more with `--last-failed`, in one process. A test that passes then is printed as `FLAKY: <node id>`, and
the suite is green; a test that fails again makes it red. A phase is red without a second try if pytest could not do its
work: a collection error, a crash of pytest or of a worker, an interrupt, or no test that passed.
"""

import argparse
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

RETRY_TIME_LIMIT = 300.0
"""Seconds that all second tries may take together, so that CI ends in time when hundreds of tests fail."""

INTERRUPT_TIME_LIMIT = 30.0
"""Seconds that pytest may take to tear down after an interrupt."""


@dataclass
class Outcome:
    """The results that one run of pytest reported."""

    passed: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    """Node ids in the order of their first failure."""
    problems: list[str] = field(default_factory=list)
    """Reasons for which the run proves nothing about its tests."""


@dataclass
class Verdict:
    """The result of the whole suite."""

    flaky: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        return not self.failed and not self.problems


class Recorder:
    """A pytest plugin that writes the results to a file when the session ends regularly."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: set[str] = set()
        self._failed: dict[str, None] = {}
        self._problems: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._problems.append(f"collection error: {report.nodeid}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when not in {"setup", "call", "teardown"}:
            self._problems.append(f"crash of a worker: {report.nodeid}")  # pytest-xdist names no step for a crash
        elif report.failed:
            self._failed[report.nodeid] = None
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        failed = list(self._failed)
        found = {"passed": sorted(self._passed - set(failed)), "failed": failed, "problems": self._problems}
        self._file.write_text(json.dumps(found), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the test suite; failed tests get a second try.")
    parser.add_argument("--phase", action="append", required=True, help="the arguments of one run of pytest")
    phases = [shlex.split(phase) for phase in parser.parse_args(arguments).phase]
    with tempfile.TemporaryDirectory(prefix="molecule-suite-") as folder:
        verdict = run_suite(phases, Path(folder))
    _print_verdict(verdict)
    return 0 if verdict.is_green else 1


def run_suite(phases: Sequence[Sequence[str]], folder: Path) -> Verdict:
    """Run each phase, then the failed tests of each phase again. `folder` holds a cache and reports for each phase."""
    verdict = Verdict()
    outcomes: list[Outcome] = []
    for number, phase in enumerate(phases):
        outcome = _run_pytest(phase, folder, f"phase-{number}")
        outcomes.append(outcome)
        if not outcome.problems and not outcome.passed and not outcome.failed:
            outcome.problems.append("no test has run")
        if outcome.problems:
            verdict.problems += [f"{problem} (pytest {shlex.join(phase)})" for problem in outcome.problems]
            verdict.failed += [test for outcome in outcomes for test in outcome.failed]
            return verdict
    deadline = time.monotonic() + RETRY_TIME_LIMIT
    for number, (phase, outcome) in enumerate(zip(phases, outcomes, strict=True)):
        if outcome.failed:
            _retry(phase, outcome, folder, f"phase-{number}", deadline, verdict)
    return verdict


def _retry(phase: Sequence[str], first: Outcome, folder: Path, name: str, deadline: float, verdict: Verdict) -> None:
    print(f"\n== second try of {len(first.failed)} failed", flush=True)
    again = [*phase, "--numprocesses", "0", "--last-failed", "--last-failed-no-failures", "none"]
    second = _run_pytest(again, folder, name, time_limit=max(0.0, deadline - time.monotonic()))
    verdict.problems += [f"{problem} (second try)" for problem in second.problems]
    for test in first.failed:
        (verdict.flaky if test in second.passed else verdict.failed).append(test)


def _run_pytest(arguments: Sequence[str], folder: Path, name: str, time_limit: float | None = None) -> Outcome:
    """Run pytest in a process of its own. Its cache is `folder/name`, and no other phase reads it."""
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)
    cache = ["-o", f"cache_dir={folder / name}", "-p", "cacheprovider"]
    process = subprocess.Popen([sys.executable, __file__, "--record", str(file), *arguments, *cache])
    code = _wait(process, time_limit)
    if not file.exists():
        return Outcome(problems=[f"pytest ended early, with exit code {code}"])
    found = json.loads(file.read_text(encoding="utf-8"))
    outcome = Outcome(passed=set(found["passed"]), failed=found["failed"], problems=found["problems"])
    expected = pytest.ExitCode.TESTS_FAILED if outcome.failed else pytest.ExitCode.OK
    if not outcome.problems and code != expected:
        outcome.problems.append(f"pytest ended with exit code {code}")
    return outcome


def _wait(process: subprocess.Popen[bytes], time_limit: float | None) -> int:
    """The exit code of pytest. Ctrl-C reaches pytest too, which then ends with exit code 2."""
    try:
        return process.wait(time_limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    try:
        return process.wait(INTERRUPT_TIME_LIMIT)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        return process.wait()


def _print_verdict(verdict: Verdict) -> None:
    print()
    for problem in verdict.problems:
        print(f"BROKEN: {problem}")
    for test in verdict.failed:
        print(f"FAILED: {test}")
    for test in verdict.flaky:
        print(f"FLAKY: {test}")
    if verdict.is_green:
        print(f"GREEN: every test passed, {len(verdict.flaky)} of them at the second try")
    else:
        print(f"RED: {len(verdict.failed)} failed, {len(verdict.problems)} problems of the run itself")
    sys.stdout.flush()


def _record(file: Path, arguments: list[str]) -> int:
    """Run pytest in this process, with the import path of `python -m pytest`."""
    sys.path[0] = str(Path.cwd())
    return int(pytest.main(arguments, plugins=[Recorder(file)]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--record", file, *rest]:
            sys.exit(_record(Path(file), rest))
        case rest:
            sys.exit(main(rest))
