"""`molecule up` on terminals, pipes and disks that fail, and the signals that it receives there."""

import os
import shutil
import subprocess
from pathlib import Path
from signal import SIG_IGN, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, signal

import psutil
import pytest

from tests.deploy import fake_processes
from tests.deploy.molecule_up import MOLECULE, READY, is_ready
from tests.waiting import eventually

CHATTY = fake_processes.SERVICE.replace("signal.pause()", "while True: print('x' * 1000, flush=True)")
"""A service that fills every pipe that nobody reads."""


def log_size(home, name):
    path = home / "logs" / f"{name}.log"
    return path.stat().st_size if path.exists() else 0


def read_log_state(home, name):
    """Return the file and its size: a log that grows fast is rotated meanwhile."""
    found = (home / "logs" / f"{name}.log").stat()
    return found.st_ino, found.st_size


async def wait_until_ready_without_output(plane):
    await eventually(lambda: (plane.children(), is_ready(plane.url))[1], within=30)
    await eventually(lambda: plane.processes.update(plane.children()) or len(plane.processes) >= 5, within=30)


@pytest.mark.covers("OPS-08")
async def test_the_plane_runs_on_when_the_reader_of_its_output_leaves(start, home, tmp_path):
    folder = fake_processes.write_packages(tmp_path / "chatty", auth=CHATTY)
    reading, writing = os.pipe()
    plane = start(folder=folder, options={"stdout": writing, "stderr": writing})
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        while READY.encode() not in pipe.readline():
            pass
    await wait_until_ready_without_output(plane)
    before = read_log_state(home, "auth")

    await eventually(lambda: read_log_state(home, "auth") != before, within=30)

    assert plane.process.poll() is None
    plane.process.send_signal(SIGTERM)
    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []


@pytest.mark.covers("OPS-08")
async def test_the_plane_runs_on_while_its_terminal_is_stopped(start, home, tmp_path):
    folder = fake_processes.write_packages(tmp_path / "chatty", auth=CHATTY)
    reading, writing = os.pipe()
    plane = start(folder=folder, options={"stdout": writing, "stderr": writing})
    os.close(writing)
    await wait_until_ready_without_output(plane)

    await eventually(lambda: log_size(home, "auth") > 5_000_000, within=30)

    plane.process.send_signal(SIGTERM)
    assert await plane.wait_for_exit() == 0
    os.close(reading)


@pytest.mark.covers("OPS-08")
@pytest.mark.parametrize("ending", [">&-", ">/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
async def test_the_plane_starts_and_stops_without_a_usable_output(start, ending):
    plane = start(options={"argv": ("/bin/sh", "-c", f"exec {MOLECULE} up {ending}")})
    await wait_until_ready_without_output(plane)

    plane.process.send_signal(SIGTERM)

    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
    assert "Traceback" not in plane.read_output()


@pytest.mark.covers("OPS-08")
@pytest.mark.parametrize("ending", [">&- 2>&-", ">/dev/full 2>/dev/full"])
async def test_a_refused_start_keeps_its_exit_code_without_a_usable_output(start, ending):
    plane = start(options={"argv": ("/bin/sh", "-c", f"exec {MOLECULE} up {ending}")}, PORT="no number")

    assert await plane.wait_for_exit() == 1


@pytest.mark.covers("OPS-09")
@pytest.mark.parametrize("number", [SIGHUP, SIGQUIT])
async def test_a_closed_terminal_stops_the_plane_in_order(start, home, number):
    plane = start()
    await plane.wait_for_output(READY)

    plane.process.send_signal(number)

    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
    assert f"Stopped. What the plane knows stays in {home}." in plane.read_output()


@pytest.mark.covers("OPS-09")
async def test_a_plane_under_nohup_survives_the_closed_terminal(start):
    plane = start(options={"preexec_fn": lambda: signal(SIGHUP, SIG_IGN)})
    await plane.wait_for_output(READY)

    plane.process.send_signal(SIGHUP)
    plane.process.send_signal(SIGHUP)

    os.kill(await eventually(lambda: plane.find_pid("gateway")), SIGKILL)
    await plane.wait_for_output("starts again in 0.1 s")
    await eventually(lambda: is_ready(plane.url), within=30)
    plane.process.send_signal(SIGTERM)
    assert await plane.wait_for_exit() == 0


@pytest.mark.covers("OPS-09")
@pytest.mark.parametrize("number", [SIGTSTP, SIGSTOP])
async def test_a_suspended_plane_continues(start, number):
    plane = start()
    await plane.wait_for_output(READY)

    plane.process.send_signal(number)
    await eventually(lambda: psutil.Process(plane.process.pid).status() == psutil.STATUS_STOPPED, within=30)
    os.kill(await eventually(lambda: plane.find_pid("services.auth")), SIGKILL)
    plane.process.send_signal(SIGCONT)

    await plane.wait_for_output("starts again in 0.1 s")
    plane.process.send_signal(SIGTERM)
    assert await plane.wait_for_exit() == 0


@pytest.mark.covers("OPS-09")
async def test_two_ctrl_c_at_once_stop_the_plane_once(start):
    plane = start()
    await plane.wait_for_output(READY)

    plane.process.send_signal(SIGINT)
    plane.process.send_signal(SIGINT)

    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
    assert plane.read_output().count("Stopping:") == 1


@pytest.mark.covers("OPS-09")
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
async def test_sigterm_to_make_stops_the_plane(start, tmp_path):
    folder = fake_processes.write_packages(tmp_path / "made")
    (folder / "Makefile").write_text(f"up:\n\t@{MOLECULE} up\n")
    plane = start(folder=folder, options={"argv": ("make", "up")})
    await plane.wait_for_output(READY)

    plane.process.send_signal(SIGTERM)

    await plane.wait_for_exit()
    await eventually(lambda: plane.list_running_processes() == [], within=30)
    assert "Stopped." in plane.read_output()


@pytest.mark.covers("OPS-10")
async def test_a_log_on_a_full_disk_is_told_once_and_ends_nothing(start, home, tmp_path):
    folder = fake_processes.write_packages(tmp_path / "chatty", auth=CHATTY)
    logs = home / "logs"
    logs.mkdir(parents=True)
    (logs / "auth.log").symlink_to("/dev/full")
    plane = start(folder=folder)
    await plane.wait_for_output(READY)
    await eventually(lambda: plane.read_output().count("auth        │ xxx") > 20, within=30)
    (logs / "auth.log").unlink()

    await plane.wait_for_output("is written again")

    assert plane.read_output().count("No space left on device") == 1
    assert plane.read_output().count("is written again") == 1
    assert "Traceback" not in plane.read_output()
    assert plane.process.poll() is None
    await eventually(lambda: log_size(home, "auth") > 0, within=30)


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    ("name", "spoil", "error"),
    [
        ("demo-made", lambda path: path.symlink_to("/no/such/directory/file"), "No such file or directory"),
        ("keys/vault.new", Path.mkdir, "Is a directory"),
    ],
    ids=["demo-made", "key"],
)
async def test_a_file_of_the_home_that_cannot_be_written_is_one_line(start, home, name, spoil, error):
    (home / "keys").mkdir(parents=True)
    spoil(home / name)

    plane = start()

    assert await plane.wait_for_exit() == 1
    *_, last = plane.read_output().splitlines()
    assert last == f"molecule: {home / name} cannot be used: {error}"
    assert "Traceback" not in plane.read_output()
    assert plane.list_running_processes() == []


@pytest.mark.covers("OPS-11")
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "de_DE.ISO-8859-1"},
    ],
)
async def test_any_locale_shows_the_start_and_the_log(start, locale):
    plane = start(**locale)
    await plane.wait_for_output(READY)

    plane.process.send_signal(SIGTERM)

    assert await plane.wait_for_exit() == 0
    assert "Traceback" not in plane.read_output()
    assert "services and gateway" in plane.read_output()
    assert "?" not in plane.read_output()
    assert "gateway     " in plane.read_output()


@pytest.mark.covers("OPS-11")
@pytest.mark.parametrize("command", ["up", "down", "status"])
@pytest.mark.parametrize("home", ["~nobody-of-this-name/home", "/dev/null/home", "/proc/1/home"])
def test_a_home_of_another_user_is_one_line(command, home):
    done = subprocess.run(
        [MOLECULE, command],
        env={"MOLECULE_HOME": home, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("molecule: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.covers("OPS-11")
@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="only root can give a home away")
@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_home_that_is_closed_to_this_user_is_one_line(command, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "lock").touch(mode=0o600)
    for path in (home / "lock", home):
        os.chown(path, 65534, 65534)
    home.chmod(0o700)

    done = subprocess.run(
        ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--", MOLECULE, command],
        env={"MOLECULE_HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert command == "status" or "Permission denied" in done.stderr
