"""Words of the command line that have few values, and Ctrl-C before the command runs."""

import subprocess
import sys

import pytest

from tests.molecule_cli.own_process import ROOT, molecule

INTERRUPTED_IMPORT = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["queue", "list", "--status", "nonsense"], "queued, dispatching, completed, unknown, dead, expired, dropped"),
        (["queue", "list", "--status", "dead,nonsense"], "queued, dispatching"),
        (["queue", "list", "--status", "dead,"], "queued, dispatching"),
        (["org-tokens", "mint", "--scope", "read", "--scope", "nonsense"], "read, write, a2a, admin"),
    ],
)
def test_a_word_without_meaning_is_a_usage_error_that_names_the_values(arguments, values):
    result = molecule(*arguments, MOLECULE_URL="http://127.0.0.1:9")

    assert result.returncode == 2
    assert values in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_while_modules_are_imported_ends_the_command_quietly(tmp_path):
    (tmp_path / "typer.py").write_text(INTERRUPTED_IMPORT)

    result = subprocess.run(
        [sys.executable, "-c", "from molecule_cli.entry import main; main()"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
