"""What the terminal shows."""

import io

import pytest
from rich.console import Console

from deploy.progress import Progress, shorten_log_line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "2026-11-21T00:09:27.885237Z [info     ] token issued       generation=1 service=auth superseded=1",
            "00:09:27 token issued       generation=1 superseded=1",
        ),
        ("2026-11-21T00:09:27.885237Z [warning  ] lock lost lock=x", "00:09:27 WARNING lock lost lock=x"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
    ],
)
def test_log_line_is_shortened(line, shown):
    assert shorten_log_line(line) == shown


def test_pipe_receives_complete_lines_without_colours():
    written = io.StringIO()
    progress = Progress(Console(file=written, width=40))

    progress.print_log_line("auth", "[bold]not markup[/] " + "long " * 30)
    with progress.step("PostgreSQL"):
        pass

    assert written.getvalue().startswith("auth        │ [bold]not markup[/] long long")
    assert written.getvalue().count("\n") == 2
    assert "\x1b" not in written.getvalue()
