import json
import subprocess
import sys
from pathlib import Path

from tests import promises

ROOT = Path(__file__).parents[2]


def test_the_last_line_counts_every_requirement():
    said = subprocess.run(
        [sys.executable, "-m", "tests.promises"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    last = json.loads(said.stdout.splitlines()[-1])
    assert said.returncode == 0, said.stderr
    assert last["covered"] + len(last["missing"]) == last["total"] > 200


def test_rows_are_requirements_and_mentions_are_not():
    text = "| ID | Requirement |\n|---|---|\n| REG-01 | As AUTH-02 says. |\n| REG-02 | x |\nREG-03 is mentioned.\n"

    assert promises.list_requirements(text) == ["REG-01", "REG-02"]


def test_a_requirement_is_shown_with_the_beginning_of_its_text():
    text = "| REG-01 | **As** `AUTH-02` says. | E2E |\n| REG-02 | " + "word " * 30 + "| |\n"

    found = promises.read_summaries(text)

    assert found["REG-01"] == "As AUTH-02 says."
    assert found["REG-02"].startswith("word word")
    assert found["REG-02"].endswith("...")


def test_marks_are_found_on_modules_functions_and_parameters(tmp_path):
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.covers('REG-01')\n"
        "@pytest.mark.covers('REG-02', 'REG-03')\n"
        "def test_it(): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.covers('REG-04'))])\n"
        "def test_that(x): 'covers(REG-05)'\n"
    )

    assert promises.collect_claims(tmp_path) == {f"REG-0{number}": {"test_one.py"} for number in range(1, 5)}
