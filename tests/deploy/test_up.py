"""`molecule up` and `molecule down`, with fake services."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from deploy.layout import Layout
from deploy.up import REPEATED_SIGNAL_SECONDS
from tests.deploy import fake_processes
from tests.deploy.molecule_up import MOLECULE, READY, is_ready
from tests.waiting import eventually

PROCESS_NAMES = {"auth", "registry", "provisioner", "a2a_proxy", "gateway"}


async def test_up_prints_the_welcome_text_and_stops_completely(start, home):
    plane = start(DATABASE_URL="")
    await plane.wait_for_output(READY, within=60)

    for line in (r"✓ PostgreSQL +\d+\.\d s", r"✓ roles and migrations", r"✓ services and gateway", r"✓ demo team"):
        assert re.search(line, plane.read_output())
    assert f"API   {plane.url}" in plane.read_output()
    assert 'molecule send lead "hello"' in plane.read_output()
    assert "molecule status" in plane.read_output()
    assert f"curl -s {plane.url}/workspaces/id-of-lead/a2a" in plane.read_output()
    plane.process.send_signal(SIGINT)

    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
    assert not Layout.for_home(home).sockets.exists()
    assert not Layout.for_home(home).database_sockets.exists()
    assert f"Stopped. What the plane knows stays in {home}." in plane.read_output()
    assert "Traceback" not in plane.read_output()


async def test_gateway_stops_first(start):
    plane = start()
    await plane.wait_for_output(READY)

    plane.process.send_signal(SIGTERM)

    assert await plane.wait_for_exit() == 0
    stopped = re.findall(r"^(\w+) +│ stopped$", plane.read_output(), re.MULTILINE)
    assert stopped == ["gateway", "a2a_proxy", "provisioner", "registry", "auth"]


async def test_output_of_each_process_is_in_its_log_file(start, home):
    plane = start()
    await plane.wait_for_output(READY)

    for name in PROCESS_NAMES:
        assert "serving" in (home / "logs" / f"{name}.log").read_text()


async def test_each_process_receives_its_settings(start, home, port, database_url):
    plane = start(ADMIN_TOKEN="t0ken", UNRELATED="dropped")
    await plane.wait_for_output(READY)

    auth, registry, provisioner = (
        json.loads((home / f"{name}.environment.json").read_text()) for name in ("auth", "registry", "provisioner")
    )
    layout = Layout.for_home(home)
    assert (
        registry.items()
        >= {
            "MOLECULE_ENV": "development",
            "DATABASE_URL": database_url,
            "REGISTRY_LISTEN": f"unix:{layout.socket('registry')}",
            "AUTH_TARGETS": f"unix:{layout.socket('auth')}",
        }.items()
    )
    assert (
        provisioner.items()
        >= {
            "PLATFORM_URL": plane.url,
            "PROVISIONER_BACKEND": "process",
            "PROVISIONER_HOME": str(home),
            "PROVISIONER_STOP_INSTANCES_ON_EXIT": "true",
        }.items()
    )
    assert auth["ADMIN_TOKEN"] == "t0ken"
    assert re.fullmatch(r"1:[A-Za-z0-9+/]{43}=", auth["SECRETS_ENCRYPTION_KEY"])
    assert "Services use the login of DATABASE_URL: AUTH_DATABASE_URL, " in plane.read_output()


async def test_vault_key_is_created_once_and_private(start, home):
    first = start()
    await first.wait_for_output(READY)
    first.process.terminate()
    await first.wait_for_exit()
    key = (home / "keys" / "vault").read_text()

    second = start()
    await second.wait_for_output(READY)

    assert (home / "keys" / "vault").read_text() == key
    assert (home / "keys" / "vault").stat().st_mode & 0o777 == 0o600


async def test_demo_team_is_a_lead_and_two_members(start, home):
    plane = start()
    await plane.wait_for_output(READY)

    made = {
        workspace["name"]: workspace.get("parent_id")
        for workspace in json.loads((home / "workspaces.json").read_text())
    }
    assert made == {"lead": None, "writer": "id-of-lead", "reviewer": "id-of-lead"}


async def test_deleted_demo_team_is_not_created_again(start, home):
    first = start()
    await first.wait_for_output(READY)
    first.process.terminate()
    await first.wait_for_exit()
    (home / "workspaces.json").write_text("[]")

    second = start()
    await second.wait_for_output(READY)

    assert json.loads((home / "workspaces.json").read_text()) == []


async def test_templates_of_the_release_are_copied_into_the_home_once(start, home):
    first = start()
    await first.wait_for_output(READY)
    environment = json.loads((home / "registry.environment.json").read_text())
    assert Path(environment["ORG_TEMPLATES_DIR"]) == home / "org-templates"
    assert Path(environment["CONFIGS_DIR"]) == home / "workspace-configs-templates"
    assert (home / "org-templates" / "demo" / "org.yaml").exists()
    first.process.terminate()
    await first.wait_for_exit()
    shutil.rmtree(home / "org-templates" / "demo")

    second = start(ORG_TEMPLATES_DIR=str(home / "mine"))
    await second.wait_for_output(READY)

    assert not (home / "org-templates" / "demo").exists()
    assert json.loads((home / "registry.environment.json").read_text())["ORG_TEMPLATES_DIR"] == str(home / "mine")


@pytest.mark.parametrize("without", [{"DEMO": "0"}, {"BACKEND": "none"}])
async def test_setting_starts_a_plane_without_the_demo_team(start, home, without):
    plane = start(**without)
    await plane.wait_for_output(READY)

    assert not (home / "workspaces.json").exists()
    assert "molecule status" in plane.read_output()


async def test_plane_with_workspaces_gets_no_demo_team(start, home):
    home.mkdir(mode=0o700)
    (home / "workspaces.json").write_text('[{"id": "1", "name": "Mine", "status": "online"}]')

    plane = start()
    await plane.wait_for_output(READY)

    assert [one["name"] for one in json.loads((home / "workspaces.json").read_text())] == ["Mine"]


async def test_killed_process_is_restarted_within_five_seconds(start):
    plane = start()
    await plane.wait_for_output(READY)
    first = plane.find_pid("gateway")

    os.kill(first, SIGKILL)

    await eventually(lambda: plane.find_pid("gateway") not in (0, first), within=5)
    await plane.wait_for_output("gateway     │ ended with -9, starts again in 0.1 s (log: ")
    await eventually(lambda: is_ready(plane.url), within=5)


async def test_second_plane_in_the_same_home_is_refused_and_the_first_keeps_running(start, home):
    first = start()
    await first.wait_for_output(READY)

    second = start()

    assert await second.wait_for_exit() == 1
    assert second.read_output() == (
        f"molecule: a plane already runs in {home} (pid {first.process.pid}): stop it with make down,"
        " or give this one a home of its own with MOLECULE_HOME\n"
    )
    assert is_ready(first.url)


async def test_used_port_is_refused_in_one_line(start, port):
    with closing(socket.create_server(("127.0.0.1", port))):
        plane = start()

        assert await plane.wait_for_exit() == 1

    assert plane.read_output() == (
        f"molecule: port {port} cannot be used: Address already in use; choose another one,"
        f" like make up PORT={port + 1}\n"
    )


async def test_unreachable_postgresql_is_one_line(start):
    plane = start(DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/molecule")

    assert await plane.wait_for_exit() == 1
    assert re.fullmatch(r"molecule: PostgreSQL at DATABASE_URL cannot be used: .*\n", plane.read_output())
    assert "hunter2" not in plane.read_output()


async def test_unusable_home_is_one_line(start, home):
    home.write_text("a file")

    plane = start()

    assert await plane.wait_for_exit() == 1
    assert re.fullmatch(r"molecule: the home .* cannot be used: .*\n", plane.read_output())


async def test_service_that_refuses_to_start_is_named_with_its_reason(start, tmp_path, home):
    programs = {"registry": fake_processes.REFUSING_TO_START, "gateway": fake_processes.NEVER_READY}
    plane = start(folder=fake_processes.write_packages(tmp_path / "broken", **programs), DATABASE_URL="")

    assert await plane.wait_for_exit() == 1
    *_, last = plane.read_output().splitlines()
    assert last == (
        "molecule: registry does not start: registry: LIVENESS_WINDOW must be positive"
        f" (log: {home / 'logs' / 'registry.log'})"
    )
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert not is_ready(plane.url)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
async def test_stop_during_the_start_stops_completely(start, tmp_path, home, number):
    plane = start(
        folder=fake_processes.write_packages(tmp_path / "slow", gateway=fake_processes.NEVER_READY), DATABASE_URL=""
    )
    await plane.wait_for_output("roles and migrations")
    await eventually(lambda: plane.has_printed("") and plane.find_pid("gateway"))

    plane.process.send_signal(number)

    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert "Traceback" not in plane.read_output()


async def test_second_ctrl_c_does_not_wait_for_a_process_that_ignores_sigterm(start, tmp_path):
    plane = start(folder=fake_processes.write_packages(tmp_path / "deaf", auth=fake_processes.IGNORING_SIGTERM))
    await plane.wait_for_output(READY)
    requested_at = time.monotonic()
    plane.process.send_signal(SIGINT)
    await plane.wait_for_output("registry    │ stopped")

    await eventually(lambda: time.monotonic() - requested_at > REPEATED_SIGNAL_SECONDS)
    plane.process.send_signal(SIGINT)

    assert await plane.wait_for_exit(within=5) == 0
    assert plane.list_running_processes() == []


async def test_processes_of_a_killed_plane_end_and_the_next_start_works(start):
    first = start(DATABASE_URL="")
    await first.wait_for_output(READY)

    first.process.kill()

    await eventually(lambda: first.list_running_processes() == [], within=10)
    second = start(DATABASE_URL="")
    await second.wait_for_output(READY)


async def test_down_stops_the_plane_of_the_home(start, home):
    plane = start()
    await plane.wait_for_output(READY)

    completed = subprocess.run(
        [MOLECULE, "down"], env={"MOLECULE_HOME": str(home)}, capture_output=True, text=True, check=True
    )

    assert completed.stdout == "stopped\n"
    assert await plane.wait_for_exit() == 0
    assert plane.list_running_processes() == []
