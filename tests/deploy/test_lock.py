"""The lock of a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import lock
from deploy.errors import StartError

HOLDER = """
import sys
from pathlib import Path
from deploy import lock
with lock.hold_lock(Path(sys.argv[1]), url="http://127.0.0.1:1234"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


@pytest.fixture
def holder(path):
    command = [sys.executable, "-c", HOLDER, str(path)]
    root = Path(lock.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_holder_is_refused_with_the_pid_of_the_first(path, holder):
    refusal = rf"already runs in .* \(pid {holder.pid}\): stop it with make down"
    with pytest.raises(StartError, match=refusal), lock.hold_lock(path, url="http://127.0.0.1:1"):
        pass


def test_released_lock_has_no_holder(path):
    with lock.hold_lock(path, url="http://127.0.0.1:1"):
        assert lock.find_holder(path) == os.getpid()

    assert lock.find_holder(path) is None
    assert lock.find_holder(path.with_name("never-made")) is None


@pytest.mark.covers("OPS-14")
def test_the_url_of_the_plane_is_known_while_its_lock_is_held(path, holder):
    assert lock.find_url(path) == "http://127.0.0.1:1234"
    holder.kill()
    holder.wait()

    assert "http://127.0.0.1:1234" in path.read_text()
    assert lock.find_url(path) == ""


def test_killed_process_releases_the_lock(path, holder):
    holder.kill()
    holder.wait()

    with lock.hold_lock(path, url="http://127.0.0.1:1"):
        assert lock.find_holder(path) == os.getpid()


def test_stop_holder_stops_the_holder(path, holder):
    assert lock.stop_holder(path, timeout=5)
    assert lock.find_holder(path) is None


def test_stop_holder_returns_false_if_the_holder_does_not_stop(path):
    ignoring_sigterm = HOLDER.replace(
        "import sys\n", "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n", 1
    )
    command = [sys.executable, "-c", ignoring_sigterm, str(path)]
    root = Path(lock.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"

        assert not lock.stop_holder(path, timeout=0.2)

        process.kill()
