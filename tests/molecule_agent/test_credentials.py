import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from molecule_agent.credentials import Credentials


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "configs" / ".auth_token"


@pytest.mark.covers("AGT-04")
def test_the_token_and_the_inbound_secret_are_written_to_their_files(tmp_path):
    credentials = Credentials(tmp_path)
    credentials.save_token("t")
    credentials.save_inbound_secret("s")

    assert (tmp_path / "configs" / ".auth_token").read_text() == "t"
    assert (tmp_path / "configs" / ".platform_inbound_secret").read_text() == "s"


@pytest.mark.covers("AGT-04")
def test_other_users_may_not_read_the_files(tmp_path):
    credentials = Credentials(tmp_path)
    before = os.umask(0)
    try:
        credentials.save_token("t")
        credentials.save_inbound_secret("s")
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "configs").iterdir()}
    assert modes == {0o600}


@pytest.mark.covers("AGT-04")
def test_a_new_token_replaces_the_old_one_and_is_used_at_once(tmp_path, token_file):
    credentials = Credentials(tmp_path)
    credentials.save_token("old")
    assert credentials.token == "old"

    credentials.save_token("new")

    assert credentials.token == "new"
    assert token_file.read_text() == "new"


@pytest.mark.covers("AGT-04")
@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_credential_is_not_stored(tmp_path, nothing):
    credentials = Credentials(tmp_path)
    credentials.save_token("old")
    credentials.save_token(nothing)
    credentials.save_inbound_secret(nothing)

    assert credentials.token == "old"
    assert [file.name for file in (tmp_path / "configs").iterdir()] == [".auth_token"]


@pytest.mark.covers("AGT-04")
def test_the_token_file_is_read_once_until_it_is_reread(tmp_path, token_file):
    token_file.parent.mkdir()
    token_file.write_text("first\n")
    credentials = Credentials(tmp_path)
    assert credentials.token == "first"

    token_file.write_text("second")

    assert credentials.token == "first"
    assert credentials.reread_token()
    assert credentials.token == "second"
    assert not credentials.reread_token()


def test_a_missing_file_is_no_token(tmp_path):
    credentials = Credentials(tmp_path / "nowhere")

    assert credentials.token is None
    assert not credentials.reread_token()


def test_a_file_that_is_no_text_is_no_token(tmp_path, token_file, caplog):
    token_file.parent.mkdir()
    token_file.write_bytes(b"\xff\xfe")

    assert Credentials(tmp_path).token is None
    assert "cannot read" in caplog.text


def test_a_directory_that_cannot_be_made_does_not_lose_the_token(tmp_path, caplog):
    (tmp_path / "configs").write_text("in the way")
    credentials = Credentials(tmp_path)

    credentials.save_token("t")

    assert credentials.token == "t"
    assert "cannot write" in caplog.text
    assert "t" not in {word.strip("'\"") for word in caplog.text.split()}


@pytest.mark.covers("AGT-04")
def test_a_kill_between_writing_and_replacing_leaves_the_old_token_intact(tmp_path, token_file):
    Credentials(tmp_path).save_token("old")
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_REPLACING, str(tmp_path)], check=False, capture_output=True
    )

    assert killed.returncode == -9, killed.stderr
    assert token_file.read_text() == "old"
    assert len(list(token_file.parent.iterdir())) == 2

    Credentials(tmp_path).save_token("new")
    assert token_file.read_text() == "new"


_KILLED_BEFORE_REPLACING = """
import os, signal, sys
from pathlib import Path
from molecule_agent.credentials import Credentials

sys.addaudithook(lambda event, _: event == "os.rename" and os.kill(os.getpid(), signal.SIGKILL))
Credentials(Path(sys.argv[1])).save_token("new")
"""
