"""`molecule up --detach` starts a plane that runs on without its terminal."""

import os
import subprocess

import httpx
import pytest

from deploy import lock
from tests.deploy import fake_processes
from tests.deploy.molecule_up import MOLECULE
from tests.waiting import eventually


@pytest.fixture
def run(tmp_path, home, port, database_url):
    """Return a function that runs a command where the fake services are."""
    folder = fake_processes.write_packages(tmp_path / "plane")
    given = {"MOLECULE_HOME": str(home), "PORT": str(port), "DATABASE_URL": database_url, "PATH": os.defpath}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MOLECULE, *arguments],
            cwd=folder,
            env=given | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    yield run
    if lock.find_holder(home / lock.FILE_NAME):
        run("down")


@pytest.mark.covers("TTY-24")
async def test_the_command_returns_when_the_plane_is_ready_and_the_plane_runs_on(run, home, port):
    started = run("up", "--detach")
    again = run("up", "-d")

    assert (started.returncode, started.stdout) == (0, f"http://127.0.0.1:{port}\n")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        assert (await http.get("/ready")).json()["status"] == "ready"
    pid = lock.find_holder(home / lock.FILE_NAME)
    assert f"ready (pid {pid}); molecule down stops it" in started.stderr
    assert "a plane already runs in" in again.stderr
    assert "runs (pid" in run("backup").stderr
    assert run("down").stdout == "stopped\n"
    await eventually(lambda: lock.find_holder(home / lock.FILE_NAME) is None, within=30)


@pytest.mark.covers("TTY-24")
def test_a_plane_that_cannot_start_is_an_error_with_its_cause(run, port):
    result = run("up", "-d", BIND_HOST="203.0.113.1")

    assert result.returncode == 1
    assert f"molecule: the plane did not start: port {port} cannot be used" in result.stderr


@pytest.mark.covers("TTY-24")
def test_a_home_that_has_files_is_not_restored_into(run, home, tmp_path):
    (tmp_path / "archive.tar.gz").touch()
    home.mkdir(exist_ok=True)
    (home / "file").touch()

    result = run("restore", str(tmp_path / "archive.tar.gz"))

    assert result.returncode == 1
    assert f"{home} is not empty" in result.stderr


@pytest.mark.covers("TTY-16", "TTY-24")
def test_a_backup_replaces_no_file_without_consent_and_does_not_lie_in_the_home(run, home, tmp_path):
    home.mkdir(exist_ok=True)
    (tmp_path / "archive.tar.gz").write_text("an older one")

    refused = run("backup", str(tmp_path / "archive.tar.gz"), "--keys", str(tmp_path / "keys.sh"))
    inside = run("backup", str(home / "archive.tar.gz"))

    assert "add --yes" in refused.stderr
    assert (tmp_path / "archive.tar.gz").read_text() == "an older one"
    assert "which is what is backed up" in inside.stderr
