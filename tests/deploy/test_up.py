import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import httpx
import psutil
import pytest

from deploy.layout import Layout
from deploy.up import REPEATED_SIGNAL_SECONDS
from tests.deploy import fake_processes
from tests.waiting import eventually

MOLECULE = str(Path(sys.executable).with_name("molecule"))
READY = "Ctrl-C stops everything."
EVERYBODY = {"auth", "registry", "provisioner", "a2a_proxy", "gateway"}


class Started:
    """A `molecule up` among stand-ins, with all that it printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.output = folder / "terminal.txt"
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        with self.output.open("wb") as terminal:
            self.process = subprocess.Popen(
                [MOLECULE, "up"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )
        self.family: set[psutil.Process] = set()

    def said(self) -> str:
        return self.output.read_text()

    def sees(self, text: str) -> bool:
        self.family |= set(self.children())
        assert self.process.poll() is None or text in self.said(), self.said()
        return text in self.said()

    def children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    async def shows(self, text: str, *, within: float = 30) -> None:
        await eventually(lambda: self.sees(text), within=within)

    async def ended(self, *, within: float = 30) -> int:
        await eventually(lambda: self.process.poll() is not None, within=within)
        return self.process.returncode

    def left(self) -> list[psutil.Process]:
        return [process for process in self.family if _runs(process)]

    def pid_of(self, module: str) -> int:
        return next((process.pid for process in self.children() if _command(process)[-1:] == [module]), 0)


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path, home, port, database_url) -> Iterator[Callable[..., Started]]:
    """Start `molecule up` with a PostgreSQL that is there already; `DATABASE_URL=""` makes it bring its own."""
    running: list[Started] = []

    def start(*, folder: Path | None = None, **more: str) -> Started:
        planted = folder or fake_processes.write_packages(tmp_path / f"plane{len(running)}")
        given = {"MOLECULE_HOME": str(home), "PORT": str(port), "DATABASE_URL": database_url, "PATH": os.defpath}
        running.append(Started(planted, given | more))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()
        for process in each.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()


async def test_it_gets_ready_says_what_to_try_and_leaves_nothing_behind(start, home):
    plane = start(DATABASE_URL="")
    await plane.shows(READY, within=60)

    for line in (r"✓ PostgreSQL +\d+\.\d s", r"✓ roles and migrations", r"✓ services and gateway", r"✓ demo team"):
        assert re.search(line, plane.said())
    assert f"API   {plane.url}" in plane.said()
    assert 'molecule send lead "hello"' in plane.said()
    assert "molecule status" in plane.said()
    assert f"curl -s {plane.url}/workspaces/id-of-lead/a2a" in plane.said()
    plane.process.send_signal(SIGINT)

    assert await plane.ended() == 0
    assert plane.left() == []
    assert not Layout.of(home).sockets.exists()
    assert not Layout.of(home).database_sockets.exists()
    assert f"Stopped. What the plane knows stays in {home}." in plane.said()
    assert "Traceback" not in plane.said()


async def test_the_gateway_stops_first(start):
    plane = start()
    await plane.shows(READY)

    plane.process.send_signal(SIGTERM)

    assert await plane.ended() == 0
    farewells = re.findall(r"^(\w+) +│ stopped$", plane.said(), re.MULTILINE)
    assert farewells == ["gateway", "a2a_proxy", "provisioner", "registry", "auth"]


async def test_what_each_process_says_is_kept_in_a_file(start, home):
    plane = start()
    await plane.shows(READY)

    for name in EVERYBODY:
        assert "serving" in (home / "logs" / f"{name}.log").read_text()


async def test_every_process_is_told_where_the_others_are(start, home, port, database_url):
    plane = start(ADMIN_TOKEN="t0ken", UNRELATED="kept")
    await plane.shows(READY)

    told = json.loads((home / "registry.told.json").read_text())
    layout = Layout.of(home)
    assert (
        told.items()
        >= {
            "MOLECULE_ENV": "development",
            "DATABASE_URL": database_url,
            "ADMIN_TOKEN": "t0ken",
            "REGISTRY_LISTEN": f"unix:{layout.socket('registry')}",
            "AUTH_TARGETS": f"unix:{layout.socket('auth')}",
            "PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "PLATFORM_URL": plane.url,
            "PROVISIONER_BACKEND": "process",
            "PROVISIONER_HOME": str(home),
            "PROVISIONER_STOP_INSTANCES_ON_EXIT": "true",
            "UNRELATED": "kept",
        }.items()
    )
    assert re.fullmatch(r"1:[A-Za-z0-9+/]{43}=", told["SECRETS_ENCRYPTION_KEY"])


async def test_the_key_of_the_vault_is_made_once_and_read_by_nobody_else(start, home):
    first = start()
    await first.shows(READY)
    first.process.terminate()
    await first.ended()
    key = (home / "keys" / "vault").read_text()

    second = start()
    await second.shows(READY)

    assert (home / "keys" / "vault").read_text() == key
    assert (home / "keys" / "vault").stat().st_mode & 0o777 == 0o600


async def test_the_demo_team_is_a_lead_and_two_members(start, home):
    plane = start()
    await plane.shows(READY)

    made = {
        workspace["name"]: workspace.get("parent_id")
        for workspace in json.loads((home / "workspaces.json").read_text())
    }
    assert made == {"lead": None, "writer": "id-of-lead", "reviewer": "id-of-lead"}


async def test_a_demo_team_that_was_deleted_does_not_come_back(start, home):
    first = start()
    await first.shows(READY)
    first.process.terminate()
    await first.ended()
    (home / "workspaces.json").write_text("[]")

    second = start()
    await second.shows(READY)

    assert json.loads((home / "workspaces.json").read_text()) == []


async def test_the_templates_that_come_with_the_plane_are_put_into_the_home_once(start, home):
    first = start()
    await first.shows(READY)
    told = json.loads((home / "registry.told.json").read_text())
    assert Path(told["ORG_TEMPLATES_DIR"]) == home / "org-templates"
    assert Path(told["CONFIGS_DIR"]) == home / "workspace-configs-templates"
    assert (home / "org-templates" / "demo" / "org.yaml").exists()
    first.process.terminate()
    await first.ended()
    shutil.rmtree(home / "org-templates" / "demo")

    second = start(ORG_TEMPLATES_DIR=str(home / "mine"))
    await second.shows(READY)

    assert not (home / "org-templates" / "demo").exists()
    assert json.loads((home / "registry.told.json").read_text())["ORG_TEMPLATES_DIR"] == str(home / "mine")


@pytest.mark.parametrize("without", [{"DEMO": "0"}, {"BACKEND": "none"}])
async def test_an_empty_plane_on_request(start, home, without):
    plane = start(**without)
    await plane.shows(READY)

    assert not (home / "workspaces.json").exists()
    assert "molecule status" in plane.said()


async def test_a_plane_in_use_gets_no_demo_team(start, home):
    home.mkdir()
    (home / "workspaces.json").write_text('[{"id": "1", "name": "Mine", "status": "online"}]')

    plane = start()
    await plane.shows(READY)

    assert [one["name"] for one in json.loads((home / "workspaces.json").read_text())] == ["Mine"]


async def test_a_killed_process_is_back_within_five_seconds(start):
    plane = start()
    await plane.shows(READY)
    first = plane.pid_of("gateway")

    os.kill(first, SIGKILL)

    await eventually(lambda: plane.pid_of("gateway") not in (0, first), within=5)
    await plane.shows("gateway     │ ended with -9, starts again in 0.1 s")
    await eventually(lambda: _answers(plane.url), within=5)


async def test_a_second_plane_in_the_same_home_is_refused_and_the_first_goes_on(start, home):
    first = start()
    await first.shows(READY)

    second = start()

    assert await second.ended() == 1
    assert second.said() == (
        f"molecule: a plane already runs in {home} (pid {first.process.pid}): stop it with make down,"
        " or give this one a home of its own with MOLECULE_HOME\n"
    )
    assert _answers(first.url)


async def test_a_port_that_is_taken_is_one_line(start, port):
    with closing(socket.create_server(("127.0.0.1", port))):
        plane = start()

        assert await plane.ended() == 1

    assert plane.said() == (
        f"molecule: port {port} cannot be used: Address already in use; choose another one,"
        f" like make up PORT={port + 1}\n"
    )


async def test_a_postgresql_that_is_not_there_is_one_line(start):
    plane = start(DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/molecule")

    assert await plane.ended() == 1
    assert re.fullmatch(r"molecule: PostgreSQL at DATABASE_URL cannot be used: .*\n", plane.said())
    assert "hunter2" not in plane.said()


async def test_a_home_that_cannot_be_used_is_one_line(start, home):
    home.write_text("a file")

    plane = start()

    assert await plane.ended() == 1
    assert re.fullmatch(r"molecule: the home .* cannot be used: .*\n", plane.said())


async def test_a_service_that_refuses_to_start_is_named_with_its_reason(start, tmp_path, home):
    programs = {"registry": fake_processes.REFUSING_TO_START, "gateway": fake_processes.NEVER_READY}
    plane = start(folder=fake_processes.write_packages(tmp_path / "broken", **programs), DATABASE_URL="")

    assert await plane.ended() == 1
    *_, last = plane.said().splitlines()
    assert last == (
        "molecule: registry does not start: registry: LIVENESS_WINDOW must be positive"
        f" (log: {home / 'logs' / 'registry.log'})"
    )
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert not _answers(plane.url)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
async def test_stopping_while_it_starts_leaves_nothing_behind(start, tmp_path, home, number):
    plane = start(
        folder=fake_processes.write_packages(tmp_path / "slow", gateway=fake_processes.NEVER_READY), DATABASE_URL=""
    )
    await plane.shows("roles and migrations")
    await eventually(lambda: plane.sees("") and plane.pid_of("gateway"))

    plane.process.send_signal(number)

    assert await plane.ended() == 0
    assert plane.left() == []
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert "Traceback" not in plane.said()


async def test_asking_twice_does_not_wait_for_a_deaf_process(start, tmp_path):
    plane = start(folder=fake_processes.write_packages(tmp_path / "deaf", auth=fake_processes.IGNORING_SIGTERM))
    await plane.shows(READY)
    asked = time.monotonic()
    plane.process.send_signal(SIGINT)
    await plane.shows("registry    │ stopped")

    await eventually(lambda: time.monotonic() - asked > REPEATED_SIGNAL_SECONDS)
    plane.process.send_signal(SIGINT)

    assert await plane.ended(within=5) == 0
    assert plane.left() == []


async def test_after_a_kill_nothing_of_the_plane_goes_on_and_the_next_start_works(start):
    first = start(DATABASE_URL="")
    await first.shows(READY)

    first.process.kill()

    await eventually(lambda: first.left() == [], within=10)
    second = start(DATABASE_URL="")
    await second.shows(READY)


async def test_down_stops_the_plane_of_the_home(start, home):
    plane = start()
    await plane.shows(READY)

    said = subprocess.run(
        [MOLECULE, "down"], env={"MOLECULE_HOME": str(home)}, capture_output=True, text=True, check=True
    )

    assert said.stdout == "stopped\n"
    assert await plane.ended() == 0
    assert plane.left() == []


def _command(process: psutil.Process) -> list[str]:
    """One that has just begun, or ended, has none."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.TransportError:
        return False
