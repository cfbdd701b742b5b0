"""The plane in containers: a team that talks, services that are killed and replaced, and nothing that stays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.compose.compose_project import ComposeProject, build_images, run
from tests.e2e.conversation import build_message, get_answer_text
from tests.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

RECOVERY_SECONDS = 60
"""Time for a container that starts again, and for callers that find it again, on a machine that runs tests."""


@pytest.fixture(scope="module")
def project() -> Iterator[ComposeProject]:
    """A plane of one container for each service."""
    build_images()
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "COMPOSE_PROFILES": "telemetry"}
    project = ComposeProject("molecule-compose-test", "compose.yaml", subnet="10.224.32", environment=environment)
    remove(project)
    try:
        project.run("up", "--detach", "--wait")
        yield project
    finally:
        remove(project)


def remove(project: ComposeProject) -> None:
    project.run("down", "--volumes", "--remove-orphans", check=False)
    project.run("run", "--rm", "purge", check=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(project) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's client of the gateway."""
    token = project.run("exec", "-T", "auth", "cat", "/etc/molecule/auth/admin-token")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{project.port}", headers=headers, trust_env=False, timeout=30
    ) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def team(http) -> dict[str, str]:
    """The ids of the demo team by name, when all are online."""
    imported = await http.post("/org/import", json={"dir": "demo"})
    assert imported.status_code == 201, imported.text
    return await wait_until_all_online(http)


async def wait_until_all_online(http: httpx.AsyncClient) -> dict[str, str]:
    async def find_team() -> dict[str, str]:
        with contextlib.suppress(httpx.TransportError):
            answer = await http.get("/workspaces")
            if answer.is_success and all(each["status"] == "online" for each in answer.json()):
                return {each["name"]: each["id"] for each in answer.json()}
        return {}

    return await eventually(find_team, within=RECOVERY_SECONDS)


async def send(http: httpx.AsyncClient, workspace_id: str, text: str) -> str:
    """Send a message until it is answered, and return the answer."""

    async def ask() -> str:
        with contextlib.suppress(httpx.TransportError):
            answer = await http.post(f"/workspaces/{workspace_id}/a2a", json=build_message(text), timeout=5)
            if answer.status_code == httpx.codes.OK:
                return get_answer_text(answer)
        await asyncio.sleep(0.2)
        return ""

    return await eventually(ask, within=RECOVERY_SECONDS)


async def test_a_team_in_containers_answers(http, team):
    assert [await send(http, each, f"hello {name}") for name, each in team.items()] == [
        f"hello {name}" for name in team
    ]


async def test_requests_without_a_credential_are_refused(http, team):
    answers = [await http.get("/workspaces", headers={"Authorization": bearer}) for bearer in ("", "Bearer invalid")]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_services_run_without_privileges_and_tools(project, team):
    script = (
        "id -u; grep CapEff /proc/self/status; touch /opt/x 2>/dev/null || echo read-only;"
        " for name in pip uv gcc cc; do command -v $name || echo no $name; done; ls /etc/molecule/registry"
    )
    lines = project.run("exec", "-T", "registry", "sh", "-c", script).split("\n")

    assert lines[:7] == ["10002", "CapEff:\t0000000000000000", "read-only", "no pip", "no uv", "no gcc", "no cc"]
    assert lines[7:11] == ["ca.pem", "cert.pem", "database-url", "key.pem"]


async def test_every_process_sends_its_traces_to_the_collector(project, http, team):
    await send(http, team["lead"], "traced")
    assert (await http.get(f"/workspaces/{team['lead']}/logs")).is_success

    def list_senders() -> set[str]:
        words = [line.split() for line in run("docker", "logs", project.container("collector")).splitlines()]
        return {name.removeprefix("molecule.") for _, name, *_ in words}

    processes = {"gateway", "registry", "provisioner", "a2a_proxy", "auth"}
    await eventually(lambda: processes <= list_senders(), within=RECOVERY_SECONDS)


@pytest.mark.parametrize("service", ["gateway", "auth", "provisioner"])
async def test_the_command_finds_the_plane_in_every_container(project, team, service):
    token = project.run("exec", "-T", "auth", "cat", "/etc/molecule/auth/admin-token")
    status = project.run("exec", "-T", "-e", f"MOLECULE_TOKEN={token}", service, "molecule", "status")

    assert "registry ok" in status
    assert team["lead"] in status


async def test_running_containers_are_those_that_the_command_shows(project, http, team):
    format_ = "{{.Names}}"
    label = f"label=molecule.platform.instance={project.name}"
    running = run("docker", "ps", "--format", format_, "--filter", label).split()

    assert sorted(running) == sorted(f"ws-{workspace_id[:12]}" for workspace_id in team.values())


async def test_agents_reach_the_gateway_and_no_other_service(project, team):
    agent = f"ws-{team['lead'][:12]}"
    script = (
        "import socket,sys\n"
        "for host, port in (('gateway', 8080), ('registry', 9000), ('postgres', 5432)):\n"
        "    try: socket.create_connection((host, port), 2).close(); print('open')\n"
        "    except OSError: print('closed')\n"
    )

    assert run("docker", "exec", agent, "python", "-c", script).split() == ["open", "closed", "closed"]


@pytest.mark.parametrize("service", ["auth", "registry", "provisioner", "a2a-proxy", "gateway", "postgres"])
async def test_killed_service_comes_back(project, http, team, service):
    before = count_restarts(project, service)

    project.kill(service)

    await eventually(lambda: count_restarts(project, service) > before, within=RECOVERY_SECONDS)
    assert await send(http, team["lead"], f"after {service}") == f"after {service}"


async def test_agents_outlive_the_replacement_of_every_service(project, http, team):
    before = list_instances(project)

    for service in ("auth", "registry", "provisioner", "a2a-proxy", "gateway"):
        project.run("up", "--detach", "--no-deps", "--force-recreate", service)
        assert await send(http, team["lead"], f"with a new {service}") == f"with a new {service}"

    assert list_instances(project) == before


async def test_plane_that_was_taken_down_continues_with_its_data(project, http, team):
    project.run("down")
    assert run("docker", "ps", "-q", "--filter", f"label=molecule.platform.instance={project.name}") == ""

    project.run("up", "--detach", "--wait")

    assert await wait_until_all_online(http) == team
    assert await send(http, team["lead"], "again") == "again"


async def test_missing_secret_stops_the_service_with_one_line_until_it_is_there(project, http, team):
    path = "/etc/molecule/auth/admin-token"
    project.run("run", "--rm", "--no-deps", "secrets", "rm", path)
    project.run("restart", "--no-deps", "auth")
    line = f"auth: ADMIN_TOKEN_FILE: {path} cannot be read: No such file or directory"
    await eventually(lambda: line in project.run("logs", "auth"), within=RECOVERY_SECONDS)

    project.run("run", "--rm", "--no-deps", "secrets")

    async def is_ready() -> bool:
        return (await http.get("/ready")).json()["checks"]["auth"]["status"] == "ok"

    await eventually(is_ready, within=RECOVERY_SECONDS)


async def test_replicas_are_added_to_a_running_plane_and_each_one_may_be_killed(project, http, team):
    project.add_file("compose.replicas.yaml")
    project.run("up", "--detach", "--wait")
    assert await send(http, team["lead"], "two of each") == "two of each"

    for service in ("auth", "registry", "provisioner", "a2a-proxy", "gateway"):
        project.run("kill", service)  # the engine starts no container that was killed through it
        assert await send(http, team["lead"], f"without {service}") == f"without {service}"
        assert await wait_until_all_online(http) == team
        project.run("start", service)
        project.run("kill", f"{service}-2")
        assert await send(http, team["lead"], f"without {service}-2") == f"without {service}-2"
        project.run("start", f"{service}-2")


async def test_nothing_stays_of_a_plane_that_is_removed_and_purged(project, team):
    project.run("down", "--volumes")
    instances = [name for name in project.list_leftovers() if name.startswith("ws-")]
    assert instances

    project.run("run", "--rm", "purge")

    assert project.list_leftovers() == []


def count_restarts(project: ComposeProject, service: str) -> int:
    return int(run("docker", "inspect", "--format", "{{.RestartCount}}", project.container(service)))


def list_instances(project: ComposeProject) -> set[str]:
    """Return the ids of the running containers of workspaces."""
    return set(run("docker", "ps", "-q", "--filter", f"label=molecule.platform.instance={project.name}").split())
