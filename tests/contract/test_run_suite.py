"""The runner of the test suite, on small pytest projects."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run_suite

PARALLEL = "--numprocesses 2 --dist loadfile --ignore slow"
SERIAL = "slow"

PASSES = "def test_passes():\n    pass\n"

PASSES_AT_THE_SECOND_TRY = """\
from pathlib import Path

def test_flaky():
    marker = Path(__file__ + ".tried")
    tried = marker.exists()
    marker.touch()
    assert tried
"""

FAILS = "def test_fails():\n    assert False\n"

CRASHES = "import os\n\ndef test_crashes():\n    os._exit(1)\n"


class Project:
    """A folder with tests of two phases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("pytest.ini", "[pytest]\n")
        self.write("fast/test_good.py", PASSES)
        self.write("slow/test_good.py", PASSES)
        self.environment: dict[str, str] = {}

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *phases: str) -> tuple[int, list[str]]:
        """The exit code and the lines of output of the runner."""
        options = [f"--phase={phase} --import-mode=importlib -p xdist" for phase in phases]
        ran = subprocess.run(
            [sys.executable, run_suite.__file__, *options],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout.splitlines()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_suite_that_passes_is_green_and_shows_the_closing_line_of_each_phase(project):
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 0
    assert sum("1 passed in" in line for line in lines) == 2
    assert lines[-1] == "GREEN: every test passed, 0 of them at the second try"
    assert not any(line.startswith("FLAKY") for line in lines)


@pytest.mark.parametrize("folder", ["fast", "slow"])
def test_a_test_that_passes_at_the_second_try_is_flaky_and_the_suite_is_green(project, folder):
    project.write(f"{folder}/test_once.py", PASSES_AT_THE_SECOND_TRY)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 0
    assert any("1 failed, 1 passed in" in line for line in lines)
    assert lines[-2:] == [
        f"FLAKY: {folder}/test_once.py::test_flaky",
        "GREEN: every test passed, 1 of them at the second try",
    ]


def test_flaky_tests_of_both_phases_are_tried_again_in_their_own_phase(project):
    project.write("fast/test_once.py", PASSES_AT_THE_SECOND_TRY)
    project.write("slow/test_once.py", PASSES_AT_THE_SECOND_TRY)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 0
    assert lines[-3:-1] == ["FLAKY: fast/test_once.py::test_flaky", "FLAKY: slow/test_once.py::test_flaky"]


@pytest.mark.parametrize("folder", ["fast", "slow"])
def test_a_test_that_fails_twice_makes_the_suite_red(project, folder):
    project.write(f"{folder}/test_bad.py", FAILS)
    project.write("fast/test_once.py", PASSES_AT_THE_SECOND_TRY)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 1
    assert lines[-3:] == [
        f"FAILED: {folder}/test_bad.py::test_fails",
        "FLAKY: fast/test_once.py::test_flaky",
        "RED: 1 failed, 0 problems of the run itself",
    ]


def test_only_failed_tests_are_tried_again(project):
    project.write("fast/test_bad.py", FAILS + PASSES)
    _, lines = project.run(PARALLEL, SERIAL)
    closing = [line.strip("= ").partition(" in ")[0] for line in lines if re.search(r" in \d+\.\d+s", line)]
    assert closing == ["1 failed, 2 passed", "1 passed", "1 failed"]


@pytest.mark.parametrize("phase", [PARALLEL, SERIAL])
def test_a_collection_error_is_red_even_beside_a_flaky_test(project, phase):
    folder = "slow" if phase is SERIAL else "fast"
    project.write(f"{folder}/test_once.py", PASSES_AT_THE_SECOND_TRY)
    project.write(f"{folder}/test_broken.py", "import nothing_of_this_name\n")
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 1
    assert any(line.startswith(f"BROKEN: collection error: {folder}/test_broken.py") for line in lines)
    assert lines[-1].startswith("RED")
    assert not any(line.startswith("FLAKY") for line in lines)


def test_a_crash_of_a_worker_is_red(project):
    project.write("fast/test_crash.py", CRASHES)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 1
    assert any(line.startswith("BROKEN: crash of a worker: fast/test_crash.py::test_crashes") for line in lines)


def test_a_crash_of_pytest_is_red_although_its_exit_code_is_that_of_failed_tests(project):
    project.write("slow/test_crash.py", CRASHES)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 1
    assert "BROKEN: pytest ended early, with exit code 1" in " ".join(lines)


@pytest.mark.parametrize("phase", ["empty", "fast -k nothing", "fast --no-such-option"])
def test_a_phase_without_tests_is_red(project, phase):
    (project.folder / "empty").mkdir()
    code, lines = project.run(phase, SERIAL)
    assert code == 1
    assert lines[-1].startswith("RED")


def test_a_phase_that_skips_every_test_is_red(project):
    project.write("skipped/test_skipped.py", "import pytest\n\n@pytest.mark.skip\ndef test_skipped():\n    pass\n")
    code, lines = project.run("skipped", SERIAL)
    assert code == 1
    assert any(line.startswith("BROKEN: no test has run") for line in lines)


def test_an_interrupted_run_is_red(project):
    project.write("slow/test_stop.py", "def test_stop():\n    raise KeyboardInterrupt\n")
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 1
    assert any(line.startswith("BROKEN: pytest ended with exit code 2") for line in lines)


def test_a_failure_of_a_fixture_gets_a_second_try_too(project):
    project.write(
        "slow/test_fixture.py",
        "import pytest\nfrom pathlib import Path\n\n"
        "@pytest.fixture\ndef thing():\n    yield\n"
        "    marker = Path(__file__ + '.tried')\n    tried = marker.exists()\n    marker.touch()\n    assert tried\n\n"
        "@pytest.mark.parametrize('text', ['a::b [c]'])\ndef test_thing(thing, text):\n    pass\n",
    )
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 0
    assert lines[-2] == "FLAKY: slow/test_fixture.py::test_thing[a::b [c]]"


def test_neither_a_home_nor_byte_code_nor_an_old_cache_is_needed(project):
    project.environment = {"HOME": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
    project.write(".pytest_cache/v/cache/lastfailed", '{"fast/test_good.py::test_passes": true}')
    project.write("slow/test_once.py", PASSES_AT_THE_SECOND_TRY)
    code, lines = project.run(PARALLEL, SERIAL)
    assert code == 0
    assert lines[-2] == "FLAKY: slow/test_once.py::test_flaky"
