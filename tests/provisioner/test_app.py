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
from services.provisioner.backends import BACKENDS, folder
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.model import DesiredState, Phase
from services.provisioner.settings import Settings
from tests.provisioner.neighbours import SmallAuth, SmallRegistry, catalog_of, servicers_of, vault_of
from tests.rpc import listening
from tests.waiting import eventually

AGENT = f"{sys.executable} -u -S -c 'import time; time.sleep(600)'"


@pytest.fixture
async def neighbours():
    registry, auth = SmallRegistry(), SmallAuth()
    book, keys = servicers_of(registry, auth)
    async with (
        listening([book, catalog_of(registry)]) as registry_address,
        listening([keys, vault_of(auth)]) as auth_address,
    ):
        yield registry, registry_address, auth_address


@pytest.fixture
async def settings(tmp_path, database_url, neighbours):
    _, registry_address, auth_address = neighbours
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
def registry(neighbours) -> SmallRegistry:
    return neighbours[0]


@asynccontextmanager
async def asking(address: str, *, caller_service: str = "a2a_proxy"):
    async with open_channel(address, caller_service=caller_service) as line:
        stub = provisioner_pb2_grpc.ProvisionerServiceStub(line.channel)

        async def check(workspace_id: str, generation: int) -> str:
            request = provisioner_pb2.CheckInstanceRequest(workspace_id=workspace_id, generation=generation)
            answer = await line.call(stub.CheckInstance, request)
            return provisioner_pb2.InstanceCondition.Name(answer.condition).removeprefix("INSTANCE_CONDITION_")

        yield check


@pytest.mark.covers("PROV-40")
async def test_a_killed_agent_of_a_running_plane_is_back_within_two_seconds(settings, registry):
    values, one = settings(), str(uuid.uuid4())
    root = values.home / "workspaces"
    async with run_service(service, values) as address, asking(address) as check:
        registry.want(one)
        await registry.reported(one, 1, "instance_started")
        registry.online.add(one)
        assert await check(one, 1) == "ALIVE"

        os.kill(folder.of(root, one).record().agent.pid, signal.SIGKILL)
        await registry.reported(one, 2, "instance_started", within=2)

        assert await check(one, 2) == "ALIVE"
        assert await check(one, 1) == "UNKNOWN"
        assert await check(str(uuid.uuid4()), 1) == "UNKNOWN"
        assert await check("../../etc", 1) == "UNKNOWN"


async def test_only_the_proxy_may_ask_after_instances(settings):
    values = settings(backend="fake")
    async with run_service(service, values) as address, asking(address, caller_service="gateway") as check:
        with pytest.raises(PermissionDenied):
            await check(str(uuid.uuid4()), 1)


@pytest.mark.parametrize("stopping", [True, False])
async def test_instances_end_with_the_provisioner_only_where_it_is_told_so(settings, registry, stopping):
    values, one = settings(stop_instances_on_exit=stopping), str(uuid.uuid4())
    async with run_service(service, values):
        registry.want(one)
        await registry.reported(one, 1, "instance_started")

    found = await ProcessBackend(values.home).get(one)

    assert found.phase is (Phase.EXITED if stopping else Phase.RUNNING)


@pytest.mark.covers("BEY-14")
async def test_a_provisioner_that_is_killed_finds_its_instances_again(settings, registry, tmp_path):
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
    registry.want(one)
    registry.want(two)
    await registry.reported(one, 1, "instance_started", within=15)
    await registry.reported(two, 1, "instance_started")
    root = values.home / "workspaces"
    survivor = folder.of(root, one).record()
    first.kill()
    await first.wait()
    registry.online |= {one, two}
    os.kill(folder.of(root, two).record().keeper.pid, signal.SIGKILL)

    async with run_service(service, values):
        await registry.reported(two, 2, "instance_started", within=10)

        assert folder.of(root, one).record() == survivor
        assert registry.kinds(one) == [(1, "instance_started")]
        registry.want(one, DesiredState.FORGOTTEN)
        await registry.reported(one, 1, "instance_stopped")
        await eventually(lambda: not (root / one).exists())


async def test_one_of_two_replicas_holds_the_instances(settings, registry, tmp_path):
    one = str(uuid.uuid4())
    values = settings()
    other = settings().model_copy(update={"listen": f"unix:{tmp_path}/q.sock"})
    async with run_service(service, values), run_service(service, other) as address, asking(address) as check:
        registry.want(one)
        await registry.reported(one, 1, "instance_started")

        assert len(registry.backends) == 1
        assert await check(one, 1) == "ALIVE"


@pytest.mark.parametrize("name", BACKENDS)
async def test_every_backend_can_be_chosen_by_its_name(settings, registry, name):
    registry.want(str(uuid.uuid4()), DesiredState.STOPPED)
    async with run_service(service, settings(backend=name)):
        await eventually(lambda: registry.facts)

    assert registry.backends == [name]


async def test_a_backend_that_does_not_exist_is_refused_in_one_line(settings):
    with pytest.raises(InvalidSettings, match="must be one of process, none, fake"):
        async with run_service(service, settings(backend="docker")):
            pass
