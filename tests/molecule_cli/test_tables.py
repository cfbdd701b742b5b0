import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli import tables
from molecule_cli.tables import Column
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve

ID = "6f1c1c0e-0000-4000-8000-000000000001"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class TerminalOutput(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def print_rows(monkeypatch: pytest.MonkeyPatch, rows, *, columns: int, is_terminal: bool) -> list[str]:
    output = TerminalOutput() if is_terminal else io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", output)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm")
        tables.print_table([Column("NAME", flexible=True), Column("ID"), Column("WHY", flexible=True)], rows)
    return COLOURS.sub("", output.getvalue()).splitlines()


@pytest.mark.covers("TTY-03")
@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
@given(name=st.text(max_size=60), why=st.text(max_size=300))
def test_an_id_is_whole_in_every_terminal(columns, name, why):
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = print_rows(monkeypatch, [(name, ID, why)], columns=columns, is_terminal=True)

    assert sum(ID in line for line in lines) == 1


@pytest.mark.covers("TTY-03")
@given(name=st.text(max_size=60), why=st.text(max_size=300))
def test_a_pipe_receives_each_row_whole_on_one_line(name, why):
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = print_rows(monkeypatch, [(name, ID, why), ("b", ID, "")], columns=20, is_terminal=False)

    assert [ID in line for line in lines] == [False, True, True]


@pytest.mark.covers("TTY-03")
def test_a_wide_column_wraps_in_a_terminal_that_is_wide_enough(monkeypatch):
    lines = print_rows(monkeypatch, [("lead", ID, "because " * 30)], columns=80, is_terminal=True)

    assert max(map(len, lines)) <= 80
    assert "".join(lines).count("because") == 30


@pytest.mark.covers("TTY-03")
def test_status_shows_whole_ids_through_a_pipe_of_any_width():
    with serve(FakePlane()) as url:
        result = molecule("status", MOLECULE_URL=url, COLUMNS="30")

    assert LEAD in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.splitlines()[2:])
