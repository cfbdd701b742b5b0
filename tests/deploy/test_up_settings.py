"""The settings that `molecule up` is given: kept, passed on, or refused in one line."""

import json
import re
import subprocess
from signal import SIGKILL, SIGTERM

import pytest

from deploy.layout import Layout
from tests.deploy.molecule_up import MOLECULE, READY, is_ready

TOKEN = "7d1f0c6e9b2a48c3b1d5e6f708192a3b"
KEY = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PRODUCTION = {"MOLECULE_ENV": "production", "ADMIN_TOKEN": TOKEN, "SECRETS_ENCRYPTION_KEY": KEY}


def read_environment(home, name):
    return json.loads((home / f"{name}.environment.json").read_text())


@pytest.mark.covers("OPS-12")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "127.0.0.9", "localhost"])  # noqa: S104 - in production
async def test_the_gateway_listens_on_the_given_address(start, port, host):
    plane = start(**PRODUCTION, BIND_HOST=host)
    await plane.wait_for_output(READY)

    reachable = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    assert is_ready(f"http://{reachable}:{port}")
    assert f"API   http://{reachable}:{port}" in plane.read_output()


@pytest.mark.covers("OPS-12", "OPS-03")
@pytest.mark.parametrize("host", ["300.1.1.1", "no such host", "x" * 300])
async def test_an_address_of_no_machine_is_one_line(start, host):
    plane = start(BIND_HOST=host)

    assert await plane.wait_for_exit() == 1
    assert plane.read_output() == f"molecule: BIND_HOST={host} is no address of this machine\n"


@pytest.mark.covers("OPS-12")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRY_LISTEN", "127.0.0.1:9000"),
        ("AUTH_TARGETS", "unix:/elsewhere"),
        ("PLATFORM_URL", "http://elsewhere:8080"),
        ("PROVISIONER_BACKEND", "none"),
        ("PROVISIONER_HOME", "/elsewhere"),
    ],
)
async def test_a_setting_that_up_would_replace_is_refused(start, name, value):
    plane = start(**{name: value})

    assert await plane.wait_for_exit() == 1
    assert plane.read_output() == f"molecule: {name}: molecule up chooses this by itself; unset it\n"


@pytest.mark.covers("OPS-12", "OPS-01")
async def test_the_defaults_of_the_settings_file_are_no_contradiction(start):
    plane = start(PROVISIONER_HOME="~/.molecule", PROVISIONER_STOP_INSTANCES_ON_EXIT="false", REGISTRY_LISTEN="")

    await plane.wait_for_output(READY)


@pytest.mark.covers("OPS-05")
async def test_a_misspelt_setting_is_told_once_at_the_start(start):
    plane = start(ADMIN_TOKN="x", LIVENESS_TIMEOUT="3", TERM="dumb")
    await plane.wait_for_output(READY)

    told = re.findall(r"^molecule: (.*)$", plane.read_output(), re.MULTILINE)
    assert sorted(told) == [
        "ADMIN_TOKN is not a setting; did you mean ADMIN_TOKEN?",
        "LIVENESS_TIMEOUT is not a setting; did you mean LIVENESS_TIMEOUT_SECONDS?",
    ]


@pytest.mark.covers("OPS-04", "OPS-03")
@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"ADMIN_TOKEN": "x"}, r"ADMIN_TOKEN is too short: use at least 16 characters, .*"),
        ({"ADMIN_TOKEN": "<the-token-of-the-operator>"}, r"ADMIN_TOKEN is a placeholder: .*"),
        ({"ADMIN_TOKEN": ""}, r"ADMIN_TOKEN is required when MOLECULE_ENV=production"),
        ({"SECRETS_ENCRYPTION_KEY": ""}, r"SECRETS_ENCRYPTION_KEY is required when MOLECULE_ENV=production"),
        ({"DATABASE_URL": "mysql://u:hunter2@h/n"}, r"DATABASE_URL must begin with postgresql:// .*"),
        ({"ADMIN_TOKEN": "", "ADMIN_TOKEN_FILE": "/nowhere"}, r"ADMIN_TOKEN_FILE: /nowhere cannot be read: No such .*"),
        ({"ADMIN_TOKEN_FILE": "/nowhere"}, r"ADMIN_TOKEN and ADMIN_TOKEN_FILE are both set: unset one of them"),
    ],
)
async def test_an_unsafe_start_is_refused_in_one_line(start, given, line):
    plane = start(**{**PRODUCTION, **given})

    assert await plane.wait_for_exit() == 1
    assert re.fullmatch(rf"molecule: {line}\n", plane.read_output()), plane.read_output()


@pytest.mark.covers("OPS-06")
async def test_a_secret_in_a_file_reaches_no_environment(start, home, tmp_path, database_url):
    secrets = {"ADMIN_TOKEN": TOKEN, "SECRETS_ENCRYPTION_KEY": KEY, "DATABASE_URL": database_url}
    files = {}
    for name, value in secrets.items():
        files[f"{name}_FILE"] = str(tmp_path / name)
        (tmp_path / name).write_text(f"{value}\n")

    plane = start(MOLECULE_ENV="production", **dict.fromkeys(secrets, ""), **files)
    await plane.wait_for_output(READY)

    for process in ("auth", "registry", "provisioner", "a2a_proxy"):
        environment = read_environment(home, process)
        assert not {value for value in environment.values() if value in secrets.values()}
        own = files if process == "auth" else {"DATABASE_URL_FILE": files["DATABASE_URL_FILE"]}
        assert {name: path for name, path in environment.items() if name.endswith("_FILE")} == own
    assert "with ADMIN_TOKEN_FILE set" in plane.read_output()


@pytest.mark.covers("OPS-13")
async def test_production_has_no_demo_team_and_tells_how_to_make_one(start, home):
    plane = start(**PRODUCTION, DEMO="1")
    await plane.wait_for_output(READY)

    assert not (home / "workspaces.json").exists()
    assert "molecule org import demo" in plane.read_output()
    assert TOKEN not in plane.read_output()


@pytest.mark.covers("OPS-14")
async def test_commands_find_the_plane_of_their_home(start, home, port):
    def status(**environment):
        given = {"MOLECULE_HOME": str(home), **environment}
        return subprocess.run([MOLECULE, "status"], env=given, capture_output=True, text=True, check=False)

    plane = start()
    await plane.wait_for_output(READY)

    assert status().stdout.startswith(f"{plane.url}  ")
    assert f"MOLECULE_HOME={home} " in plane.read_output()
    assert "no plane answers at http://127.0.0.1:1:" in status(MOLECULE_URL="http://127.0.0.1:1").stderr
    assert "no plane answers at http://127.0.0.1:2:" in status(PORT="2").stderr
    plane.process.send_signal(SIGKILL)
    plane.process.wait()

    assert f"http://127.0.0.1:{port}" in Layout.for_home(home).lock.read_text()
    assert f":{port}" not in status().stdout + status().stderr


@pytest.mark.covers("OPS-14")
async def test_the_address_of_a_stopped_plane_is_forgotten(start, home, port):
    plane = start()
    await plane.wait_for_output(READY)
    plane.process.send_signal(SIGTERM)
    await plane.wait_for_exit()

    done = subprocess.run(
        [MOLECULE, "status"], env={"MOLECULE_HOME": str(home)}, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.stderr == f"molecule: no plane runs in {home}: start it with molecule up\n"
