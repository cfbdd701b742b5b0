"""The report of a chaos run: figures, broken promises with their ids, and one line of JSON at the end."""

import json

from chaos.faults import KILLS, SHORT_FAULTS
from chaos.model import Verdict, Violation
from chaos.report import MAX_VIOLATIONS, build_coverage, build_lines, build_summary, save_violations

FIGURES = ("sent", "answered", "unanswered", "accepted", "delivered", "duplicates", "unsafe_duplicates", "completed")

STATES = ("unknown", "dead", "expired", "dropped", "lost")


def build_verdict(*violations):
    return Verdict(**{name: number for number, name in enumerate((*FIGURES, *STATES))}, violations=violations)


def test_the_last_line_has_the_seed_and_every_figure(tmp_path):
    summary = json.loads(build_summary(build_verdict(), seed=7, minutes=0.5, faults=3))

    assert {name: summary[name] for name in (*FIGURES, *STATES)} == {
        name: number for number, name in enumerate((*FIGURES, *STATES))
    }
    assert (summary["seed"], summary["minutes"], summary["faults"], summary["violations"]) == (7, 0.5, 3, 0)


def test_a_broken_promise_is_printed_with_its_ids_and_the_place_of_the_logs(tmp_path):
    lines = "\n".join(build_lines(build_verdict(Violation(rule="r", message_id="m", queue_id="q")), directory=tmp_path))

    assert "BROKEN PROMISE: r: message m queue item q" in lines
    assert str(tmp_path) in lines


def test_of_many_broken_promises_the_first_are_printed_and_all_are_saved(tmp_path):
    verdict = build_verdict(*[Violation(rule=f"r{number}") for number in range(MAX_VIOLATIONS + 5)])

    printed = [line for line in build_lines(verdict, directory=tmp_path) if line.startswith("BROKEN")]
    save_violations(verdict, tmp_path / "violations")

    assert len(printed) == MAX_VIOLATIONS
    assert len((tmp_path / "violations").read_text().splitlines()) == MAX_VIOLATIONS + 5


def test_the_faults_that_a_short_run_did_not_reach_are_named():
    injected = [fault.name for fault in SHORT_FAULTS if fault.name not in {"kill auth", "database in recovery"}]

    assert build_coverage(SHORT_FAULTS, injected) == "not judged: database in recovery, kill auth"
    assert build_coverage(KILLS, [fault.name for fault in SHORT_FAULTS]) == ""
