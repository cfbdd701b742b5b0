"""The assembled provisioner: real gRPC, a real database, real agent processes."""

import asyncio
import os
import signal
import sys
import uuid
from contextlib import asynccontextmanager

import pytest

from protos.provisioner.v1 import provisioner_pb2, provisioner_pb2_grpc
from services.chassis.clients import open_channel
from services.chassis.errors import PermissionDenied
from services.chassis.service import run_service
from services.chassis.settings import InvalidSettings
from services.provisioner.app import service
from services.provisioner.backends import BACKENDS, workspace_directory
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.model import DesiredState, Phase
from services.provisioner.settings import Settings
from tests.provisioner.control_plane import TOKEN, serve_control_plane
from tests.provisioner.fake_auth import FakeAuth, auth_servicers
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.rpc import serve
from tests.waiting import eventually

AGENT = f"{sys.executable} -u -S -c 'import time; time.sleep(600)'"


@pytest.fixture
async def other_services():
    registry = FakeRegistry()
    async with (
        serve(registry_servicers(registry)) as registry_address,
        serve(auth_servicers(FakeAuth())) as auth_address,
    ):
        yield registry, registry_address, auth_address


@pytest.fixture
async def settings(tmp_path, database_url, other_services):
    _, registry_address, auth_address = other_services
    yield lambda **changes: Settings(
        listen=f"unix:{tmp_path}/p.sock",
        home=tmp_path / "home",
        database_url=database_url,
        registry_targets=registry_address,
        auth_targets=auth_address,
        agent_command=AGENT,
        **changes,
    )
    backend = ProcessBackend(tmp_path / "home")
    for instance in await backend.list():
        await backend.stop(instance.workspace_id)


@pytest.fixture
def registry(other_services) -> FakeRegistry:
    return other_services[0]


@asynccontextmanager
async def open_check(address: str, *, caller_service: str = "a2a_proxy"):
    async with open_channel(address, caller_service=caller_service) as channel:
        stub = provisioner_pb2_grpc.ProvisionerServiceStub(channel.channel)

        async def check(workspace_id: str, generation: int) -> str:
            request = provisioner_pb2.CheckInstanceRequest(workspace_id=workspace_id, generation=generation)
            answer = await channel.call(stub.CheckInstance, request)
            return provisioner_pb2.InstanceCondition.Name(answer.condition).removeprefix("INSTANCE_CONDITION_")

        yield check


@pytest.mark.covers("PROV-40")
async def test_killed_agent_is_restarted_within_two_seconds(settings, registry):
    values, one = settings(), str(uuid.uuid4())
    root = values.home / "workspaces"
    async with run_service(service, values) as address, open_check(address) as check:
        registry.set_desired(one)
        await registry.wait_for_fact(one, 1, "instance_started")
        registry.online.add(one)
        assert await check(one, 1) == "ALIVE"

        os.kill(workspace_directory.find_directory(root, one).read_record().agent.pid, signal.SIGKILL)
        await registry.wait_for_fact(one, 2, "instance_started", within=2)

        assert await check(one, 2) == "ALIVE"
        assert await check(one, 1) == "UNKNOWN"
        assert await check(str(uuid.uuid4()), 1) == "UNKNOWN"
        assert await check("../../etc", 1) == "UNKNOWN"


async def test_only_the_a2a_proxy_may_check_instances(settings):
    values = settings(backend="fake")
    async with run_service(service, values) as address, open_check(address, caller_service="gateway") as check:
        with pytest.raises(PermissionDenied):
            await check(str(uuid.uuid4()), 1)


@pytest.mark.parametrize("stops_instances", [True, False])
async def test_instances_stop_with_the_provisioner_only_if_the_setting_says_so(settings, registry, stops_instances):
    values, one = settings(stop_instances_on_exit=stops_instances), str(uuid.uuid4())
    async with run_service(service, values):
        registry.set_desired(one)
        await registry.wait_for_fact(one, 1, "instance_started")

    found = await ProcessBackend(values.home).get(one)

    assert found.phase is (Phase.EXITED if stops_instances else Phase.RUNNING)


@pytest.mark.covers("BEY-14")
async def test_new_provisioner_adopts_the_instances_of_a_killed_one(settings, registry, tmp_path):
    values, one, two = settings(), str(uuid.uuid4()), str(uuid.uuid4())
    first = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.provisioner",
        env={
            "PROVISIONER_LISTEN": values.listen,
            "PROVISIONER_HOME": str(values.home),
            "PROVISIONER_AGENT_COMMAND": AGENT,
            "REGISTRY_TARGETS": values.registry_targets,
            "AUTH_TARGETS": values.auth_targets,
            "DATABASE_URL": values.database_url.get_secret_value(),
        },
    )
    registry.set_desired(one)
    registry.set_desired(two)
    await registry.wait_for_fact(one, 1, "instance_started", within=15)
    await registry.wait_for_fact(two, 1, "instance_started")
    root = values.home / "workspaces"
    survivor = workspace_directory.find_directory(root, one).read_record()
    first.kill()
    await first.wait()
    registry.online |= {one, two}
    os.kill(workspace_directory.find_directory(root, two).read_record().supervisor.pid, signal.SIGKILL)

    async with run_service(service, values):
        await registry.wait_for_fact(two, 2, "instance_started", within=10)

        assert workspace_directory.find_directory(root, one).read_record() == survivor
        assert registry.list_facts(one) == [(1, "instance_started")]
        registry.set_desired(one, DesiredState.FORGOTTEN)
        await registry.wait_for_fact(one, 1, "instance_stopped")
        await eventually(lambda: not (root / one).exists())


async def test_one_of_two_replicas_runs_the_reconciler(settings, registry, tmp_path):
    one = str(uuid.uuid4())
    values = settings()
    other = settings().model_copy(update={"listen": f"unix:{tmp_path}/q.sock"})
    async with run_service(service, values), run_service(service, other) as address, open_check(address) as check:
        registry.set_desired(one)
        await registry.wait_for_fact(one, 1, "instance_started")

        assert len(registry.watching_backends) == 1
        assert await check(one, 1) == "ALIVE"


@pytest.mark.parametrize("name", BACKENDS)
async def test_each_backend_can_be_chosen_by_name(settings, registry, name):
    registry.set_desired(str(uuid.uuid4()), DesiredState.STOPPED)
    async with serve_control_plane(FakeBackend()) as remote:
        options = {"control_plane_url": remote.url, "control_plane_token": TOKEN}
        async with run_service(service, settings(backend=name, **options)):
            await eventually(lambda: registry.facts)

    assert registry.watching_backends == [name]


async def test_unknown_backend_is_refused_in_one_line(settings):
    with pytest.raises(InvalidSettings, match="must be one of process, docker, control_plane, none, fake"):
        async with run_service(service, settings(backend="kubernetes")):
            pass
