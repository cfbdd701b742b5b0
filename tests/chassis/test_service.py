"""Serving, loops and the three commands."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from services.chassis import clients
from services.chassis.errors import Unavailable
from services.chassis.service import Components, Loop, Service, run_service
from services.chassis.settings import ChassisSettings, InvalidSettings, Mode, load_settings, with_prefix
from tests.rpc import serve
from tests.waiting import eventually


async def test_a_loop_that_fails_stops_the_service():
    async def fails():
        raise KeyError

    with pytest.raises(ExceptionGroup) as raised:
        async with serve([], [Loop(name="failing", run=fails)]):
            await asyncio.Event().wait()
    assert raised.group_contains(KeyError)


async def test_a_loop_that_ends_stops_the_service():
    async def ends():
        return

    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        async with serve([], [Loop(name="ending", run=ends)]):
            await asyncio.Event().wait()


async def test_a_tick_that_raises_unavailable_is_followed_by_another():
    ticks = 0

    async def tick():
        nonlocal ticks
        ticks += 1
        raise Unavailable

    async with serve([], [Loop(name="ticking", run=tick, every=timedelta(milliseconds=1))]):
        await eventually(lambda: ticks > 2)


async def test_loops_end_with_the_service():
    ended = asyncio.Event()

    async def runs():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve([], [Loop(name="running", run=runs)]):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_plaintext_tcp_is_refused_outside_development():
    @asynccontextmanager
    async def assemble(_):
        yield Components()

    service = Service(name="test", settings=ChassisSettings, assemble=assemble)
    with pytest.raises(InvalidSettings, match="TCP needs TLS_CERT"):
        async with run_service(service, ChassisSettings(listen="127.0.0.1:0", mode=Mode.PRODUCTION)):
            pass
    async with run_service(service, ChassisSettings(listen="127.0.0.1:0", mode=Mode.DEVELOPMENT)) as address:
        assert not address.endswith(":0")


def test_an_invalid_mode_is_reported_in_one_line(monkeypatch):
    class Settings(ChassisSettings):
        model_config = with_prefix("TEST_")

    monkeypatch.setenv("MOLECULE_ENV", "staging")
    monkeypatch.setenv("TEST_LISTEN", "unix:/x")
    with pytest.raises(InvalidSettings) as raised:
        load_settings(Settings)
    assert str(raised.value) == 'MOLECULE_ENV must be "production" or "development" (got "staging")'


def test_a_missing_setting_is_reported_by_its_variable(monkeypatch):
    class Settings(ChassisSettings):
        model_config = with_prefix("TEST_")

    monkeypatch.delenv("MOLECULE_ENV", raising=False)
    with pytest.raises(InvalidSettings, match="TEST_LISTEN is required"):
        load_settings(Settings)


SERVER = """
import asyncio
from contextlib import asynccontextmanager
from services.chassis.service import Components, Service, main
from services.chassis.settings import ChassisSettings, with_prefix

class Settings(ChassisSettings):
    model_config = with_prefix("TEST_")

@asynccontextmanager
async def assemble(settings):
    yield Components()

main(Service(name="test", settings=Settings, assemble=assemble))
"""


async def test_sigterm_drains_calls_and_exits_with_zero(tmp_path):
    environment = os.environ | {"TEST_LISTEN": f"unix:{tmp_path}/t.sock", "MOLECULE_ENV": "development"}
    process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, stdout=subprocess.DEVNULL)
    try:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        async with clients.open_channel(f"unix:{tmp_path}/t.sock", caller_service="test") as channel:
            health = health_pb2_grpc.HealthStub(channel.channel)
            answer = await channel.call(health.Check, health_pb2.HealthCheckRequest(), timeout=timedelta(seconds=20))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.covers("OPS-08")
@pytest.mark.parametrize("output", ["closed pipe", "full disk", "closed descriptor"])
async def test_a_service_serves_and_stops_in_order_without_a_reader_of_its_log(tmp_path, output):
    environment = os.environ | {"TEST_LISTEN": f"unix:{tmp_path}/t.sock", "MOLECULE_ENV": "development"}
    reading, writing = os.pipe() if output == "closed pipe" else (-1, os.open("/dev/full", os.O_WRONLY))
    with (tmp_path / "stderr").open("wb") as stderr:
        redirection = ">&-" if output == "closed descriptor" else ""
        command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", SERVER]
        process = subprocess.Popen(command, env=environment, stdout=writing, stderr=stderr)
    for descriptor in {reading, writing} - {-1}:
        os.close(descriptor)
    try:
        await eventually((tmp_path / "t.sock").exists, within=20)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert (tmp_path / "stderr").read_text() == ""
    finally:
        process.kill()
        process.wait()


def run_server(**environment):
    command = [sys.executable, "-c", SERVER]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("unix:/no/such/directory/t.sock", "the directory /no/such/directory does not exist"),
        ("unix:/dev/null/t.sock", "the directory /dev/null does not exist"),
        ("unix:{}", "Is a directory"),
        ("unix:{}/" + "long" * 50, "it is no usable address, or in use"),
        ("300.1.1.1:1", "it is no usable address, or in use"),
    ],
)
def test_an_unusable_address_is_refused_in_one_line(tmp_path, listen, reason):
    listen = listen.format(tmp_path)

    done = run_server(TEST_LISTEN=listen, MOLECULE_ENV="development")

    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [f"test: cannot listen on {listen}: {reason}"])
    assert "Traceback" not in done.stderr


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    "listen", ["nowhere", "unix:", ":80", "127.0.0.1:99999", "127.0.0.1:-1", "a b:80", "h:" + "9" * 5000]
)
def test_text_that_is_no_address_is_refused_in_one_line(listen):
    done = run_server(TEST_LISTEN=listen, MOLECULE_ENV="development")

    assert (done.returncode, done.stderr) == (1, "test: TEST_LISTEN must be unix:/path/of.sock or host:port\n")


@pytest.mark.covers("OPS-03")
def test_unusable_certificates_are_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("no certificate")
    listen = {"TEST_LISTEN": "127.0.0.1:0", "MOLECULE_ENV": "production"}
    files = {f"TEST_TLS_{part}": str(tmp_path / "file") for part in ("CERT", "KEY", "CA")}

    for given, line in (
        ({**files, "TEST_TLS_KEY": ""}, "TEST_TLS_CERT, TEST_TLS_KEY and TEST_TLS_CA must be set together"),
        ({**files, "TEST_TLS_CA": "/nowhere"}, "/nowhere cannot be read: No such file or directory"),
        (files, f"{tmp_path / 'file'} is no certificate in PEM form: make it with molecule certs"),
    ):
        done = run_server(**listen, **given)

        assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [f"test: {line}"])
        assert "Traceback" not in done.stderr


@pytest.mark.covers("OPS-05")
async def test_a_service_tells_a_misspelt_setting_once(tmp_path):
    environment = {"TEST_LISTEN": f"unix:{tmp_path}/t.sock", "TEST_LITSEN": "x", "MOLECULE_ENV": "development"}
    process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while "serving" not in (line := process.stdout.readline()):
            lines.append(line)
        assert [line.count("TEST_LITSEN is not a setting; did you mean TEST_LISTEN?") for line in lines] == [1]
        process.send_signal(signal.SIGHUP)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
