"""Reading the end of an instance's log."""

import os

from hypothesis import given
from hypothesis import strategies as st

from services.provisioner.backends import log_tail
from services.provisioner.model import LogTail


@given(st.binary(max_size=200), st.integers(1, 9), st.booleans())
def test_tail_consists_of_whole_lines(text, lines, has_more):
    found = log_tail.take_last_lines(text, lines, has_more=has_more)

    ended = text if text.endswith(b"\n") or not text else text + b"\n"
    several = ended.count(b"\n") > lines
    expected = b"\n".join(ended.removesuffix(b"\n").split(b"\n")[-lines:]) + text[len(text.removesuffix(b"\n")) :]
    assert found == LogTail((expected if several else text).decode(errors="replace"), truncated=has_more or several)


def test_rotated_log_fills_the_rest_of_the_tail(tmp_path):
    (tmp_path / "agent.log.1").write_bytes(b"y" * log_tail.MAX_TAIL_BYTES)
    (tmp_path / "agent.log").write_bytes(b"new\n")

    assert log_tail.read_log_tail(tmp_path) == (b"y" * (log_tail.MAX_TAIL_BYTES - 4) + b"new\n", True)


def test_links_and_pipes_are_not_read(tmp_path):
    directory, elsewhere = tmp_path / "log", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.mkdir()
    (elsewhere / "agent.log").write_text("of another workspace")
    (directory / "agent.log").symlink_to(elsewhere / "agent.log")
    os.mkfifo(directory / "agent.log.1")
    assert log_tail.read_log_tail(directory) == (b"", False)

    (tmp_path / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert log_tail.read_log_tail(tmp_path / "linked") == (b"", False)
    assert log_tail.read_log_tail(tmp_path / "nowhere") == (b"", False)
