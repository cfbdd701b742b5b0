"""Runs mutants of the pure modules against their tests: `python -m tests.mutants [MODULE ...]`, or `make mutants`.

The modules are those of the import-linter contract "Decisions are pure" and `extra_modules` of tests/mutants.toml. The
tests of a module are the test files that import it. A mutant is killed if a test fails or takes too long; the run
fails below the scores of tests/mutants.toml. An accepted mutant needs a reason there and does not count.

This runner is our own for three reasons. mutmut 3 starts pytest with all hypothesis examples for each mutant, changes
only functions, not decision tables, and numbers its mutants, so a list of accepted ones would break with every edit;
cosmic-ray starts a process for each mutant. Here a mutant is a fork of a process that has imported pytest and every
module that does not see the mutant, and most mutants are killed by a few examples of the tests named after the module.
"""

import argparse
import ast
import contextlib
import ctypes
import fnmatch
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before gRPC is imported: every mutant is a fork.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

import hypothesis
import pytest

from tests.mutations import Mutation, find_mutations

ROOT = Path(__file__).parent.parent
CONTRACT = "Decisions are pure"
"""How the name of the import-linter contract begins whose source modules are mutated."""

PACKAGES = (
    "services",
    "gateway",
    "deploy",
    "molecule_agent",
    "molecule_cli",
    "molecule_http",
    "molecule_a2a",
    "bench",
    "chaos",
    "tests",
)

FILE_CPU_LIMIT = 3.0
"""Processor seconds that a test file may take without mutants; those named after the module may take any."""

MIN_CPU_LIMIT = 5.0
CPU_LIMIT_FACTOR = 5.0
"""A mutant counts as killed after so many times the processor seconds that the tests take without mutants.

Processor time, because a busy machine would otherwise kill mutants that the tests do not notice.
"""

IDLE_TIME_LIMIT = 300.0
"""Seconds after which a mutant is killed that waits instead of computing."""

OPTIONS = [
    *("-q", "-x", "--assert=plain", "-p", "no:cacheprovider", "-p", "asyncio", "-p", "hypothesispytest"),
    *("-p", "timeout", "-o", "timeout=0", "-o", "addopts=", "--import-mode=importlib", "--strict-markers"),
    *("-m", "not e2e and not docker"),
]


ALL_EXAMPLES = "--hypothesis-profile=mutants"
FEW_EXAMPLES = "--hypothesis-profile=few-examples"
"""A few examples kill most mutants; only those that survive them meet all examples."""


@dataclass(frozen=True)
class Config:
    """The contents of tests/mutants.toml."""

    score_in_total: float
    score_per_module: float
    extra_modules: list[str]
    excluded_fixtures: list[str]
    excluded_folders: list[str]
    tests: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def files_for(self, module: str) -> list[str]:
        return [file for table in self.tests if table["module"] == module for file in table["files"]]

    def reasons_for(self, module: str) -> dict[str, str]:
        """The reason for each accepted mutant."""
        tables = [table for table in self.accepted if table["module"] == module]
        return {mutant: table["reason"] for table in tables for mutant in table["mutants"]}


@dataclass
class Report:
    """What came of the mutants of one module."""

    module: str
    killed: int = 0
    accepted: list[str] = field(default_factory=list)
    survivors: list[Mutation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def score(self) -> float:
        """Percent of the counted mutants that were killed."""
        return 100.0 * self.killed / self.counted if self.counted else 100.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Run mutants of the pure modules against their tests.")
    parser.add_argument("modules", nargs="*", help="modules to mutate; all pure modules if none is named")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    options = parser.parse_args(arguments)
    config = Config(**tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8")))
    known = pure_modules(ROOT, config)
    problems = [f"no such pure module: {name}" for name in options.modules if name not in known]
    configured = {table["module"] for table in [*config.tests, *config.accepted]}
    problems += [f"tests/mutants.toml names an unknown module: {name}" for name in sorted(configured - set(known))]
    if problems:
        print("\n".join(problems))
        return 1
    reports = []
    for module in options.modules or known:
        mutations = find_mutations(_parse(_path_of(module)))
        if options.list:
            print("\n".join(f"{module}  {mutation.id}" for mutation in mutations))
        elif mutations:
            report = run_module(module, config)
            _print_report(report, config)
            reports.append(report)
    return 0 if options.list else _print_total(reports, config)


def pure_modules(root: Path, config: Config) -> list[str]:
    """The modules of the contract with the modules of its packages, and the extra ones; globs are expanded."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [contract] = [contract for contract in contracts if contract["name"].startswith(CONTRACT)]
    names = [name for package in PACKAGES[:-1] for name in _modules_in(root, package)]
    found: dict[str, None] = {}
    for pattern in [*contract["source_modules"], *config.extra_modules]:
        matching = [name for name in names if _matches(name, pattern)]
        if not matching:
            message = f"{pattern} names no module"
            raise SystemExit(message)
        found.update(dict.fromkeys(matching))
    return list(found)


def run_module(module: str, config: Config) -> Report:
    """Run every mutant of a module. The work is done in a fork, which imports what this module's mutants share."""
    with tempfile.TemporaryDirectory(prefix="molecule-mutants-") as folder:
        file = Path(folder) / "report.json"
        _wait_for(_fork(lambda: _write(file, _run_mutants(module, config, Path(folder))), quiet=False))
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"problems": ["the run ended early"]}
    report = Report(module, problems=found["problems"])
    reasons = config.reasons_for(module)
    survived = set(found.get("survivors", []))
    mutations = find_mutations(_parse(_path_of(module)))
    for mutation in mutations if not report.problems else []:
        if mutation.id not in survived:
            report.killed += 1
        elif mutation.id in reasons:
            report.accepted.append(f"{mutation.id} ({reasons[mutation.id]})")
        else:
            report.survivors.append(mutation)
    if not report.problems:
        report.problems += [f"accepted, but killed or no mutant: {name}" for name in reasons if name not in survived]
    return report


def test_files(module: str, config: Config) -> list[str]:
    """The configured test files of a module, or else those that import it; the ones of its name come first."""
    if files := config.files_for(module):
        return files
    paths = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    paths = [path for path in paths if not any(path.startswith(f"{folder}/") for folder in config.excluded_folders)]
    files = [path for path in paths if module in _imports_of(ROOT / path)]
    return sorted(files, key=lambda path: not _is_named_after(path, module))


# In the process of one module ───────────────────────────────────────────────


class Probe:
    """A pytest plugin that leaves out tests with excluded fixtures and measures each test file."""

    def __init__(self, excluded: Iterable[str]) -> None:
        self._excluded = set(excluded)
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if self._excluded & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        started = time.process_time()
        result = yield
        file = item.nodeid.partition("::")[0]
        self.seconds[file] = self.seconds.get(file, 0.0) + time.process_time() - started
        return result


def _run_mutants(module: str, config: Config, folder: Path) -> dict[str, list[str]]:
    files = test_files(module, config)
    if not files:
        return {"problems": ["no test file imports it"]}
    _prepare_hypothesis()
    baseline = folder / "baseline.json"
    code = _wait_for(_fork(lambda: _measure(files, config, baseline), quiet=False))
    if code != 0 or not baseline.exists():
        return {"problems": [f"its tests fail without mutants: pytest {' '.join(files)}"]}
    found = json.loads(baseline.read_text(encoding="utf-8"))
    files = _usable_files(module, config, files, found["seconds"])
    runs = [[FEW_EXAMPLES, *files], [ALL_EXAMPLES, *files]]
    own = [file for file in files if _is_named_after(file, module)]
    if own and _wait_for(_fork(lambda: int(pytest.main([*OPTIONS, FEW_EXAMPLES, "--noconftest", *own])))) == 0:
        # Most mutants are killed without the imports of conftest.py and of the other tests.
        runs = [[FEW_EXAMPLES, "--noconftest", *own], [ALL_EXAMPLES, *files]]
    cpu_limit = max(MIN_CPU_LIMIT, CPU_LIMIT_FACTOR * found["cpu"])
    _preload(module, found["modules"])
    tree = _parse(_path_of(module))
    mutants = Mutants(module, tree, runs, config.excluded_fixtures, folder, cpu_limit)
    if mutants.survivors_of([CONTROL]) != [CONTROL]:
        return {"problems": ["its tests fail in the run of a mutant that changes nothing"]}
    survivors = mutants.survivors_of(find_mutations(tree))
    return {"problems": [], "survivors": [mutation.id for mutation in survivors]}


def _measure(files: list[str], config: Config, baseline: Path) -> int:
    probe = Probe(config.excluded_fixtures)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        code = pytest.main([*OPTIONS, ALL_EXAMPLES, *files], plugins=[probe])
    if code == 0:
        found = {"seconds": probe.seconds, "cpu": time.process_time(), "modules": list(sys.modules)}
        baseline.write_text(json.dumps(found), encoding="utf-8")
    return int(code)


def _usable_files(module: str, config: Config, files: list[str], seconds: dict[str, float]) -> list[str]:
    kept = [file for file in files if file in seconds]
    if config.files_for(module):
        return kept
    slow = [file for file in kept if seconds[file] > FILE_CPU_LIMIT and not _is_named_after(file, module)]
    if slow:
        print(f"  too slow, left out: {' '.join(slow)}", flush=True)
    kept = [file for file in kept if file not in slow]
    return sorted(kept, key=lambda file: (not _is_named_after(file, module), seconds[file]))


def _prepare_hypothesis() -> None:
    """The same examples in every run, and no search for a smaller one."""
    full = hypothesis.settings(
        hypothesis.settings.get_profile("ci"),
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.register_profile("mutants", full)
    hypothesis.settings.register_profile("few-examples", full, max_examples=10)


def _preload(module: str, names: Sequence[str]) -> None:
    """Import what the tests import, but not the module, the modules that import it, and the tests."""
    ours = {name: imports for name in names if (imports := _imports_of_module(name)) is not None}
    seeing = {module}
    while more := {name for name, imports in ours.items() if name not in seeing and imports & seeing}:
        seeing |= more
    for name in names:
        if name in seeing or name.partition(".")[0] in {"tests", "conftest", "test_", "__main__"}:
            continue
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


CONTROL = Mutation("control", 0, lambda: None, lambda: None)
"""Changes nothing, so it has to survive: otherwise the runner, not the tests, would kill the mutants."""


@dataclass(frozen=True)
class Mutants:
    """The mutants of one module, each of which goes through the same runs of pytest until one kills it."""

    module: str
    tree: ast.Module
    runs: list[list[str]]
    excluded_fixtures: list[str]
    folder: Path
    cpu_limit: float

    def survivors_of(self, mutations: Sequence[Mutation]) -> list[Mutation]:
        """The mutations that every run passes with; as many run at once as there are processors."""
        waiting = [(mutation, 0) for mutation in reversed(mutations)]
        running: dict[int, tuple[Mutation, int, float]] = {}
        survivors = []
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                mutation, step = waiting.pop()
                pid = _fork(lambda mutation=mutation, step=step: self._run(mutation, self.runs[step]))
                running[pid] = (mutation, step, time.monotonic() + IDLE_TIME_LIMIT)
            time.sleep(0.005)
            for pid, (mutation, step, deadline) in list(running.items()):
                code = _exit_code_of(pid, deadline)
                if code is None:
                    continue
                del running[pid]
                shutil.rmtree(self.folder / str(pid), ignore_errors=True)
                if code == 0 and step + 1 < len(self.runs):
                    waiting.append((mutation, step + 1))
                elif code == 0:
                    survivors.append(mutation)
        return survivors

    def _run(self, mutation: Mutation, arguments: list[str]) -> int:
        seconds = math.ceil(time.process_time() + self.cpu_limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        mutation.apply()
        path = _path_of(self.module)
        code = compile(ast.fix_missing_locations(self.tree), str(path), "exec")
        sys.meta_path.insert(0, MutantFinder(self.module, path, code))
        basetemp = f"--basetemp={self.folder / str(os.getpid())}"
        return int(pytest.main([*OPTIONS, basetemp, *arguments], plugins=[Probe(self.excluded_fixtures)]))


class MutantFinder(importlib.abc.MetaPathFinder):
    """Finds one module, with the code of a mutant."""

    def __init__(self, module: str, path: Path, code: Any) -> None:
        self._module = module
        self._path = path
        self._loader = MutantLoader(module, str(path), code)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self._loader)


class MutantLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from given code instead of its file."""

    def __init__(self, name: str, path: str, code: Any) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> Any:
        return self._code


PR_SET_PDEATHSIG = 1
"""The option of prctl(2) by which a process receives a signal when its parent ends."""

# Processes ──────────────────────────────────────────────────────────────────


def _fork(work: Callable[[], int], *, quiet: bool = True) -> int:
    """Do the work in a fork with a process group of its own; its exit code is the result, or 3 after an exception."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setpgid(0, 0)
        with contextlib.suppress(OSError, AttributeError):  # only Linux has it
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no mutant outlives the run
        if quiet:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
        code = work()
    except Exception as error:  # noqa: BLE001
        print(f"  {error!r}", flush=True)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _exit_code_of(pid: int, deadline: float) -> int | None:
    """None while the process may still run. After its deadline it is killed, with all that it started."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended and time.monotonic() < deadline:
        return None
    _kill_group(pid)
    if not ended:
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _wait_for(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except KeyboardInterrupt:
        _kill_group(pid)
        raise


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _write(file: Path, found: dict[str, list[str]]) -> int:
    file.write_text(json.dumps(found), encoding="utf-8")
    return 0


# Modules and imports ────────────────────────────────────────────────────────


def _modules_in(root: Path, package: str) -> list[str]:
    names = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def _matches(name: str, pattern: str) -> bool:
    """Whether a module is the one of the pattern, or lies in a package that is; `*` stands for one part of a name."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) >= len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _path_of(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports_of(path: Path) -> set[str]:
    """Every module that a file may import, anywhere in it: `from a import b` may mean `a.b`."""
    found = set()
    for node in ast.walk(_parse(path)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module, *(f"{module}.{alias.name}" for alias in names)}
    return found


def _imports_of_module(name: str) -> set[str] | None:
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = _path_of(name)
    return _imports_of(path) if path.exists() else None


def _is_named_after(path: str, module: str) -> bool:
    service, name = module.split(".")[-2:]
    return Path(path).stem == f"test_{name}" and service in Path(path).parts


# What is printed ────────────────────────────────────────────────────────────


def _print_report(report: Report, config: Config) -> None:
    is_low = report.score < config.score_per_module
    verdict = "  TOO LOW" if is_low else ""
    print(f"{report.score:5.1f} %  {report.killed:4} of {report.counted:4} killed  {report.module}{verdict}")
    for line in report.problems:
        print(f"    PROBLEM   {line}")
    for line in report.accepted:
        print(f"    accepted  {line}")
    for mutation in report.survivors:
        print(f"    survived  line {mutation.line}: {mutation.id}")
    sys.stdout.flush()


def _print_total(reports: list[Report], config: Config) -> int:
    total = Report("in total", killed=sum(report.killed for report in reports))
    for report in reports:
        total.survivors += report.survivors
        total.accepted += report.accepted
    print(
        f"{total.score:5.1f} %  {total.killed:4} of {total.counted:4} killed  in total, {len(total.accepted)} accepted"
    )
    low = [report.module for report in reports if report.score < config.score_per_module]
    broken = [report.module for report in reports if report.problems]
    is_red = bool(low or broken or not reports) or total.score < config.score_in_total
    wanted = f"wanted {config.score_in_total} % in total, {config.score_per_module} % per module"
    print(f"{'RED' if is_red else 'GREEN'}: {wanted}")
    for title, modules in (("too low", low), ("could not be measured", broken)):
        if modules:
            print(f"  {title}: {' '.join(modules)}")
    return 1 if is_red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
