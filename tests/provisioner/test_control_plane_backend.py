"""The backend `control_plane`, against the reference server, which runs real processes."""

import asyncio
import json
import ssl
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from deploy import certs
from services.chassis.errors import ServiceError
from services.chassis.settings import InvalidSettings, load_settings
from services.provisioner.backends.control_plane import http_client
from services.provisioner.backends.control_plane.backend import ControlPlaneBackend
from services.provisioner.backends.fake import FakeBackend
from services.provisioner.backends.none import NoneBackend
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.control_plane_options import ControlPlaneOptions
from services.provisioner.errors import (
    BackendUnavailable,
    FileTooLarge,
    ImageMissing,
    NoBackend,
    StartFailed,
    StopFailed,
)
from services.provisioner.file_rules import MAX_BYTES
from services.provisioner.model import Condition, Credentials, DesiredState, FileRoot, Phase, Spec, WorkspaceId
from services.provisioner.settings import Settings
from tests.provisioner import process_instances
from tests.provisioner.backend_files_suite import BackendFilesSuite
from tests.provisioner.backend_suite import BackendSuite, build_test_spec
from tests.provisioner.control_plane import TOKEN, serve_answer, serve_control_plane
from tests.provisioner.faulty_backends import (
    ImageMissingBackend,
    SlowBackend,
    StartRefusingBackend,
    StopRefusingBackend,
)
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually

INSTANCE = {
    "workspace_id": "one",
    "generation": 1,
    "phase": "running",
    "address": "http://10.0.0.7:8000",
    "reference": "r-1",
    "exit_code": None,
}

ENVIRONMENT = {
    "MOLECULE_ENV": "development",
    "PROVISIONER_LISTEN": "unix:/tmp/p.sock",
    "DATABASE_URL": "postgresql://plane",
    "REGISTRY_TARGETS": "unix:/tmp/r.sock",
    "AUTH_TARGETS": "unix:/tmp/a.sock",
}


@pytest.fixture
async def connect():
    """Create backends for a URL; they are closed after the test."""
    made = []

    def make(url: str, *, token: str = TOKEN, timeout: float = 20, **options) -> ControlPlaneBackend:
        values = ControlPlaneOptions(url=url, token=token, timeout=timedelta(seconds=timeout), **options)
        made.append(ControlPlaneBackend(values))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


@pytest.fixture
async def processes(tmp_path):
    backend = ProcessBackend(tmp_path, process_instances.SLEEPING, stop_grace=timedelta(seconds=5))
    yield backend
    for instance in await backend.list():
        await backend.stop(instance.workspace_id)


@pytest.fixture
async def remote(processes):
    async with serve_control_plane(processes) as running:
        yield running


@pytest.fixture
def spec() -> Spec:
    return build_test_spec()


@pytest.mark.covers("ENG-06", "PROV-01", "PROV-08", "PROV-19", "PROV-20", "PROV-55")
class TestControlPlaneBackend(BackendSuite):
    @pytest.fixture
    def backend(self, connect, remote):
        return connect(remote.url)

    @pytest.fixture(autouse=True)
    def _on_the_other_machine(self, processes, remote):
        self._processes, self._remote = processes, remote

    def read_credentials(self, backend: ControlPlaneBackend, workspace_id: WorkspaceId) -> Credentials:
        return process_instances.read_credentials(self._processes, workspace_id)

    def read_files(self, backend: ControlPlaneBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        return process_instances.read_files(self._processes, workspace_id)

    async def append_output(self, backend: ControlPlaneBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        process_instances.append_output(self._processes, workspace_id, text)

    async def end(self, backend: ControlPlaneBackend, workspace_id: WorkspaceId) -> None:
        await eventually(lambda: self._remote.server.followers)
        process_instances.kill_agent(self._processes, workspace_id)


class TestFilesOfTheControlPlane(BackendFilesSuite):
    @pytest.fixture
    def backend(self, connect, remote):
        return connect(remote.url)

    async def test_file_that_is_no_text_arrives_whole(self, backend, processes, spec):
        await backend.start(spec)
        content = bytes(range(256)) * 4096
        home = process_instances.find_directory(processes, spec.workspace_id).path / "home"
        (home / "picture").write_bytes(content)

        assert await backend.read_file(spec.workspace_id, FileRoot.HOME, ("picture",)) == content

    async def test_file_that_is_too_large_names_the_limit(self, backend, processes, spec):
        await backend.start(spec)
        home = process_instances.find_directory(processes, spec.workspace_id).path / "home"
        (home / "large").write_bytes(b"x" * (MAX_BYTES + 1))

        with pytest.raises(FileTooLarge) as raised:
            await backend.read_file(spec.workspace_id, FileRoot.HOME, ("large",))

        assert raised.value.details == {"max_bytes": MAX_BYTES}


@pytest.mark.covers("PROV-07")
async def test_status_is_read_at_its_path_and_tells_running_from_stopped(connect, remote, spec):
    backend = connect(remote.url)
    await backend.start(spec)
    running = await backend.get(spec.workspace_id)
    await backend.stop(spec.workspace_id)
    stopped = await backend.get(spec.workspace_id)

    assert (running.phase, stopped.phase) == (Phase.RUNNING, Phase.EXITED)
    assert f"GET /cp/workspaces/{spec.workspace_id}/status" in remote.requests


@pytest.mark.covers("PROV-05", "PROV-06", "ENG-06")
async def test_backend_without_configuration_refuses_all_but_what_needs_no_request(connect, spec):
    backend = connect("")

    await backend.stop(WorkspaceId(""))
    await backend.forget(WorkspaceId(""))
    assert await backend.get(WorkspaceId("")) is None
    for call in (
        backend.start(spec),
        backend.stop(spec.workspace_id),
        backend.forget(spec.workspace_id),
        backend.get(spec.workspace_id),
        backend.list(),
        backend.read_logs(spec.workspace_id, 1),
        backend.read_file(spec.workspace_id, FileRoot.HOME, ("a",)),
        anext(backend.watch_exits()),
    ):
        with pytest.raises(NoBackend):
            await call


@pytest.mark.covers("PROV-05", "PROV-06")
async def test_workspace_without_an_id_causes_no_request(connect, remote):
    backend = connect(remote.url)

    await backend.stop(WorkspaceId(""))
    assert await backend.get(WorkspaceId("")) is None

    assert remote.requests == []


async def answer_with_500(_: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="ami-0abc in subnet-7 has no capacity")


async def answer_never(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def answer_with_404(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="no such route")


async def answer_with_a_redirect(_: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def answer_with_html(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>please log in</html>")


async def answer_with_nothing_known(_: web.Request) -> web.StreamResponse:
    return web.json_response({})


async def answer_with_another_workspace(_: web.Request) -> web.StreamResponse:
    other = {**INSTANCE, "workspace_id": "another", "phase": "exited"}
    return web.json_response({"instance": other, "instances": [{**other, "generation": "1"}], "next": None})


async def answer_with_an_address_of_another_kind(_: web.Request) -> web.StreamResponse:
    bad = {**INSTANCE, "address": "file:///etc/passwd"}
    return web.json_response({"instance": bad, "instances": [bad], "next": None})


async def answer_too_long(_: web.Request) -> web.StreamResponse:
    filler = "x" * (http_client.MAX_ANSWER_BYTES + 1)
    return web.json_response({"instance": None, "instances": [], "next": None, "filler": filler})


async def answer_in_part(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"instance": null, ')
    request.transport.close()
    return response


async def answer_with_the_same_page_again(_: web.Request) -> web.StreamResponse:
    return web.json_response({"instance": "none", "instances": [INSTANCE], "next": "one"})


FAULTS = [
    answer_with_500,
    answer_never,
    answer_with_404,
    answer_with_a_redirect,
    answer_with_html,
    answer_with_nothing_known,
    answer_with_another_workspace,
    answer_with_an_address_of_another_kind,
    answer_too_long,
    answer_in_part,
    answer_with_the_same_page_again,
]


@pytest.mark.covers("PROV-07", "PROV-40", "ENG-08")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_what_is_no_answer_says_nothing_about_an_instance(connect, fault):
    async with serve_answer(fault) as url:
        backend = connect(url, timeout=0.5 if fault is answer_never else 20)

        for call in (backend.get(WorkspaceId("one")), backend.list()):
            with pytest.raises(BackendUnavailable) as raised:
                await call
            assert (raised.value.message, raised.value.details) == (BackendUnavailable.message, {})


async def test_control_plane_that_is_away_says_nothing_about_an_instance(connect, spec):
    async with serve_answer(answer_never) as url:
        pass
    backend = connect(url)

    for call in (
        backend.start(spec),
        backend.stop(spec.workspace_id),
        backend.get(spec.workspace_id),
        backend.list(),
        anext(backend.watch_exits()),
    ):
        with pytest.raises(BackendUnavailable):
            await call


async def test_wrong_credential_is_neither_a_refusal_nor_an_answer(connect, remote, spec):
    stranger = connect(remote.url, token="another token")

    for call in (stranger.start(spec), stranger.get(spec.workspace_id), stranger.list()):
        with pytest.raises(BackendUnavailable):
            await call


async def test_silent_stream_of_exits_ends(connect, monkeypatch):
    monkeypatch.setattr(
        "services.provisioner.backends.control_plane.backend.MAX_STREAM_SILENCE", timedelta(seconds=0.2)
    )

    async def open_and_say_nothing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        raise AssertionError

    async with serve_answer(open_and_say_nothing) as url:
        with pytest.raises(BackendUnavailable):
            await anext(connect(url).watch_exits())


@pytest.mark.parametrize(
    ("remote_backend", "error"),
    [(StartRefusingBackend(), StartFailed), (ImageMissingBackend(), ImageMissing)],
    ids=["start refused", "image missing"],
)
@pytest.mark.covers("ENG-08", "PROV-23")
async def test_refused_start_keeps_its_reason_and_no_text(connect, spec, remote_backend, error):
    async with serve_control_plane(remote_backend) as running:
        with pytest.raises(error) as raised:
            await connect(running.url).start(spec)

    assert raised.value.message == error.message


async def test_failed_stop_is_reported_as_one(connect, spec):
    async with serve_control_plane(StopRefusingBackend(refusals=1)) as running:
        with pytest.raises(StopFailed):
            await connect(running.url).stop(spec.workspace_id)


async def test_list_consists_of_all_pages(connect, monkeypatch):
    monkeypatch.setattr("services.provisioner.control_plane_server.PAGE_SIZE", 3)
    backend, specs = FakeBackend(), [build_test_spec() for _ in range(7)]
    for one in specs:
        await backend.start(one)
    async with serve_control_plane(backend) as running:
        found = await connect(running.url).list()

    assert {one.workspace_id for one in found} == {one.workspace_id for one in specs}
    assert running.requests.count("GET /cp/workspaces") == 3


async def test_start_whose_client_has_gone_is_carried_out_before_a_later_stop(connect, spec):
    slow = SlowBackend()
    async with serve_control_plane(slow) as running:
        backend = connect(running.url)
        start = asyncio.ensure_future(backend.start(spec))
        await eventually(lambda: slow.begun)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        stop = asyncio.ensure_future(backend.stop(spec.workspace_id))
        slow.may_complete.set()
        await stop

        assert (await backend.get(spec.workspace_id)).phase is Phase.EXITED
    assert slow.starts == [(spec.workspace_id, 1)]


@pytest.mark.covers("PROV-11")
async def test_agents_of_a_tenant_domain_are_reached_below_it(connect, spec):
    async with serve_control_plane(FakeBackend()) as running:
        started = await connect(running.url, tenant_domain="agents.example").start(spec)

    assert started.address == f"https://{spec.workspace_id}.agents.example"


async def test_certificate_of_the_control_plane_is_verified(connect, tmp_path, spec):
    certs.create_certificates(tmp_path, hosts=["127.0.0.1"], validity=timedelta(days=1))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "provisioner.pem", tmp_path / "provisioner-key.pem")
    async with serve_control_plane(FakeBackend(), tls=tls) as running:
        assert await connect(running.url, authority=tmp_path / "ca.pem").start(spec)
        with pytest.raises(BackendUnavailable):
            await connect(running.url).get(spec.workspace_id)


@pytest.mark.covers("PROV-16", "PROV-19", "PROV-32")
async def test_restart_through_the_control_plane_starts_with_newer_credentials(connect):
    spec, there = build_test_spec(), FakeBackend()
    async with serve_control_plane(there) as running, provisioner_harness(connect(running.url)) as harness:
        harness.registry.set_desired(spec.workspace_id)
        async with harness.reconciling():
            await harness.registry.wait_for_fact(spec.workspace_id, 1, "instance_started")
            harness.registry.restart(spec.workspace_id)
            await harness.registry.wait_for_fact(spec.workspace_id, 2, "instance_started")

    assert there.starts == [(spec.workspace_id, 1), (spec.workspace_id, 2)]
    assert there.credentials[spec.workspace_id].token == "token-2-generation-2"
    assert harness.auth.issued == [(spec.workspace_id, 1), (spec.workspace_id, 2)]


@pytest.mark.covers("PROV-31", "PROV-32", "PROV-44")
async def test_without_a_backend_a_restart_issues_nothing():
    spec = build_test_spec()
    async with provisioner_harness(NoneBackend()) as harness:
        harness.registry.set_desired(spec.workspace_id)
        async with harness.reconciling():
            harness.registry.restart(spec.workspace_id)
            await harness.registry.wait_for_fact(spec.workspace_id, 2, "instance_skipped")

    assert harness.auth.issued == []


@pytest.mark.covers("PROV-40")
async def test_condition_is_unknown_while_the_control_plane_fails(connect):
    spec = build_test_spec()
    async with serve_answer(answer_with_500) as url, provisioner_harness(connect(url)) as harness:
        harness.registry.set_desired(spec.workspace_id, DesiredState.RUNNING)

        assert await harness.reconciler.check(spec.workspace_id, 1) is Condition.UNKNOWN

    assert harness.registry.facts == []


@pytest.mark.covers("PROV-02", "PROV-03")
def test_plane_of_one_organisation_uses_the_control_plane():
    remote = {"PROVISIONER_CONTROL_PLANE_URL": "https://cp.example", "PROVISIONER_CONTROL_PLANE_TOKEN": TOKEN}

    assert load_settings(Settings, ENVIRONMENT).backend_name == "process"
    assert load_settings(Settings, {**ENVIRONMENT, **remote, "MOLECULE_ORG_ID": "o"}).backend_name == "control_plane"
    chosen = {**ENVIRONMENT, "MOLECULE_ORG_ID": "o", "PROVISIONER_BACKEND": "docker"}
    assert load_settings(Settings, chosen).backend_name == "docker"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"PROVISIONER_CONTROL_PLANE_TOKEN": ""}, "requires"),
        ({"PROVISIONER_CONTROL_PLANE_URL": ""}, "requires"),
        ({"PROVISIONER_CONTROL_PLANE_URL": "http://cp.example"}, "https://"),
        ({"PROVISIONER_CONTROL_PLANE_URL": "https://user:pass@cp.example"}, "without credentials"),
        ({"PROVISIONER_CONTROL_PLANE_CA": "/missing/ca.pem"}, "cannot be read"),
        ({"PROVISIONER_CONTROL_PLANE_TENANT_DOMAIN": "a b"}, "TENANT_DOMAIN"),
    ],
    ids=["no token", "no URL", "no TLS", "credentials in the URL", "no authority", "no domain"],
)
def test_incomplete_control_plane_is_refused_at_the_start(changes, text):
    values = {
        **ENVIRONMENT,
        "PROVISIONER_BACKEND": "control_plane",
        "PROVISIONER_CONTROL_PLANE_URL": "https://cp.example",
        "PROVISIONER_CONTROL_PLANE_TOKEN": TOKEN,
    }

    assert load_settings(Settings, values).control_plane_options.url == "https://cp.example"
    with pytest.raises(InvalidSettings, match=text) as raised:
        load_settings(Settings, values | changes)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"generation": -1},
        {"generation": True},
        {"environment": {"NAME": 1}},
        {"files": []},
        {"image": None},
        {"command": "sh"},
        {"auth_token": 7},
    ],
    ids=[
        "negative generation",
        "truth as generation",
        "number in the environment",
        "files",
        "image",
        "command",
        "token",
    ],
)
async def test_server_refuses_a_malformed_start(connect, change):
    backend = FakeBackend()
    async with serve_control_plane(backend) as running:
        client = http_client.ControlPlaneClient(ControlPlaneOptions(url=running.url, token=TOKEN))
        body = {
            "generation": 1,
            "environment": {},
            "auth_token": "t",
            "inbound_secret": "s",
            "command": [],
            "files": {},
            "files_digest": "",
            "tier": 3,
            "image": "",
        }
        assert await client.request("PUT", "/cp/workspaces/one", body=body)
        with pytest.raises(ServiceError):
            await client.request("PUT", "/cp/workspaces/two", body=body | change)
        await client.close()

    assert [workspace_id for workspace_id, _ in backend.starts] == ["one"]


async def test_spec_arrives_as_it_was_sent(connect):
    class RecordingBackend(FakeBackend):
        """Keeps the last spec."""

        async def start(self, spec):
            self.spec = spec
            return await super().start(spec)

    there = RecordingBackend()
    spec = replace(
        build_test_spec(),
        tier=4,
        image="agents/one:7",
        command=("agent", "--fast"),
        files=(("config.yaml", "n: é\n"),),
        files_digest="d",
    )
    async with serve_control_plane(there) as running:
        await connect(running.url).start(spec)

    assert json.dumps(there.spec.environment) == json.dumps(spec.environment)
    assert there.spec == spec


def test_credential_is_not_shown():
    assert TOKEN not in repr(ControlPlaneOptions(url="https://cp.example", token=TOKEN))
