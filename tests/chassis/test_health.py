"""Whether a service can do its work, as its probes say."""

import asyncio
import os
import signal
from datetime import timedelta

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text

from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs
from services.chassis import clients, database
from services.chassis.health import HEALTHY_LIFETIME, HealthMonitor
from services.chassis.service import Components, Service, run_service
from services.chassis.settings import ChassisSettings
from tests.chassis.refusing_postgres import run_refusing_postgres


class Probe:
    """Counts its runs, and returns its cause."""

    def __init__(self, cause: str = "") -> None:
        self.cause = cause
        self.runs = 0

    async def __call__(self) -> str:
        self.runs += 1
        await asyncio.sleep(0)
        return self.cause


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.covers("DWN-05")
async def test_many_questions_at_once_cost_one_probe():
    probe, clock = Probe(), Seconds()
    monitor = HealthMonitor([probe], monotonic=clock)

    answers = await asyncio.gather(*(monitor.find_causes() for _ in range(100)))

    assert (set(answers), probe.runs) == ({()}, 1)
    clock.now += HEALTHY_LIFETIME.total_seconds()
    await monitor.find_causes()
    assert probe.runs == 2


@pytest.mark.covers("DWN-05")
async def test_equal_causes_are_named_once_in_order():
    monitor = HealthMonitor([Probe("b"), Probe(), Probe("a"), Probe("b")])

    assert await monitor.find_causes() == ("b", "a")


@pytest.mark.covers("DWN-05")
async def test_a_probe_that_hangs_counts_as_failed(monkeypatch):
    monkeypatch.setattr("services.chassis.health.PROBE_TIMEOUT", timedelta(milliseconds=10))

    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    assert await HealthMonitor([hang]).find_causes() == ("a check did not end in time",)


@pytest.mark.covers("DWN-05")
async def test_the_health_service_and_its_causes_follow_the_probes(tmp_path):
    probe = Probe("what it needs is away")

    async def ask(channel):
        check = health_pb2_grpc.HealthStub(channel.channel).Check
        status = (await channel.call(check, health_pb2.HealthCheckRequest())).status
        get_health = stubs.LivenessServiceStub(channel.channel).GetHealth
        return status, list((await channel.call(get_health, pb.GetHealthRequest())).causes)

    service = Service(name="test", settings=ChassisSettings, assemble=lambda _: _Assembled(Components(probes=[probe])))
    values = ChassisSettings(listen=f"unix:{tmp_path}/s.sock")
    async with (
        run_service(service, values) as address,
        clients.open_channel(address, caller_service="gateway") as channel,
    ):
        assert await ask(channel) == (health_pb2.HealthCheckResponse.NOT_SERVING, ["what it needs is away"])


class _Assembled:
    def __init__(self, components: Components) -> None:
        self._components = components

    async def __aenter__(self) -> Components:
        return self._components

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.covers("DWN-04")
@pytest.mark.parametrize(
    ("sqlstate", "cause"),
    [
        ("57P03", "database starts, stops or is full"),
        ("53300", "database starts, stops or is full"),
        ("28P01", "database refuses the user, the role or the name of the database"),
        (None, "database does not answer"),
    ],
)
async def test_a_database_that_refuses_or_hangs_is_named_within_bounded_time(sqlstate, cause):
    async with run_refusing_postgres(sqlstate) as url:
        assert await database.find_trouble(url, role=None, within=timedelta(seconds=0.5)) == cause


@pytest.mark.covers("DWN-04")
async def test_a_refused_socket_is_a_database_that_does_not_answer(tmp_path):
    url = f"postgresql://user@/missing?host={tmp_path}"

    assert await database.find_trouble(url, role=None, within=timedelta(seconds=1)) == "database does not answer"


@pytest.mark.covers("DWN-04")
@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="the server may run on another machine")
async def test_a_frozen_server_is_noticed_although_its_open_connections_work(database_url):
    async with database.open_engine(database_url, role=None) as engine, database.transaction(engine) as connection:
        postmaster = await connection.scalar(text("select pg_read_file('postmaster.pid', 0, 20)::text"))
    pid = int(str(postmaster).split()[0])
    assert await database.find_trouble(database_url, role=None, within=timedelta(seconds=5)) == ""
    os.kill(pid, signal.SIGSTOP)
    try:
        trouble = await database.find_trouble(database_url, role=None, within=timedelta(seconds=0.5))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert trouble == "database does not answer"


@pytest.mark.covers("DWN-02")
@pytest.mark.parametrize(("sqlstate", "ends"), [("28P01", True), ("3D000", True), ("57P03", False), ("53300", False)])
async def test_only_a_wrong_configuration_ends_a_start(sqlstate, ends):
    async with run_refusing_postgres(sqlstate) as url:
        assert bool(await database.check_configuration(url, role=None)) is ends
