"""Records of a chaos run: they survive the kill of their writer, and missing files have none."""

import subprocess
import sys

from chaos.journal import Journal, read_journal

PROGRAM = """
import os, signal, sys
from pathlib import Path
from chaos.journal import Journal
Journal(Path(sys.argv[1])).append({"message_id": "m1"})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_record_survives_the_kill_of_its_writer(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "records")], check=False)

    assert done.returncode == -9
    assert list(read_journal(tmp_path / "records")) == [{"message_id": "m1"}]


def test_two_writers_append_to_one_file(tmp_path):
    first, second = Journal(tmp_path / "records"), Journal(tmp_path / "records")
    for number, journal in enumerate((first, second, first)):
        journal.append({"number": number})

    assert [record["number"] for record in read_journal(tmp_path / "records")] == [0, 1, 2]
    first.close()
    second.close()


def test_a_file_that_does_not_exist_has_no_records(tmp_path):
    assert list(read_journal(tmp_path / "nothing")) == []
