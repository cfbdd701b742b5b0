"""Access to the output of instances."""

import pytest

from services.chassis.errors import ServiceError, Unavailable
from services.chassis.identity import Identity, Kind
from services.provisioner.backends.none import NoneBackend
from services.provisioner.clients import RegistryClient
from services.provisioner.errors import (
    BackendUnavailable,
    LogsUnavailable,
    LogsUnreadable,
    OrgAccessDenied,
    WorkspaceNotFound,
)
from services.provisioner.logs import LogReader
from services.provisioner.model import LogTail
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.fake_registry import FakeRegistry, registry_servicers
from tests.provisioner.faulty_backends import FakeBackend
from tests.rpc import open_channel_to

ADMIN = Identity(kind=Kind.ADMIN)
SPEC = build_test_spec()
ONE = SPEC.workspace_id
ORG = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class UnreadableLogsBackend(FakeBackend):
    """Cannot read the output of its instances."""

    async def read_logs(self, workspace_id, lines):
        raise BackendUnavailable


class RecordingBackend(FakeBackend):
    """Records how many lines each call asks for."""

    def __init__(self):
        super().__init__()
        self.requested_lines = []

    async def read_logs(self, workspace_id, lines):
        self.requested_lines.append(lines)
        return await super().read_logs(workspace_id, lines)


def org(org_id: str) -> Identity:
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset({"admin"}))


@pytest.fixture
def registry():
    registry = FakeRegistry()
    registry.set_desired(ONE, org_id=ORG)
    return registry


@pytest.fixture
async def build_log_reader(registry):
    async with open_channel_to(registry_servicers(registry), caller_service="provisioner") as channel:
        yield lambda backend: LogReader(backend=backend, registry=RegistryClient(channel, backend=backend.name))


@pytest.fixture
async def logs(build_log_reader):
    backend = FakeBackend()
    await backend.start(SPEC)
    return build_log_reader(backend)


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize("caller", [ADMIN, Identity(kind=Kind.ANONYMOUS), org(ORG)])
async def test_operators_read_every_log_and_organisations_their_own(logs, caller):
    assert await logs.read(caller, ONE, 200) == LogTail("generation 1\n")


@pytest.mark.parametrize("workspace_id", [ONE, OTHER], ids=["of another organisation", "unknown"])
@pytest.mark.parametrize("caller", [org(OTHER), org("")])
async def test_organisation_cannot_read_the_log_of_another(logs, caller, workspace_id):
    with pytest.raises(OrgAccessDenied):
        await logs.read(caller, workspace_id, 200)


async def test_workspace_without_an_organisation_is_denied_to_tokens_without_one(logs, registry):
    registry.set_desired(ONE, org_id="")

    with pytest.raises(OrgAccessDenied):
        await logs.read(org(""), ONE, 200)


async def test_unknown_workspace_is_not_found(logs):
    with pytest.raises(WorkspaceNotFound):
        await logs.read(ADMIN, OTHER, 200)


@pytest.mark.covers("BEY-05")
async def test_logs_are_refused_while_the_registry_is_unavailable(logs, registry):
    registry.unreachable_for.add(ONE)
    for caller in (ADMIN, org(ORG)):
        with pytest.raises(Unavailable):
            await logs.read(caller, ONE, 200)


@pytest.mark.parametrize(
    ("requested", "expected"), [(-1, 1), (0, 1), (1, 1), (2, 2), (4999, 4999), (5000, 5000), (5001, 5000)]
)
async def test_number_of_lines_is_limited(build_log_reader, requested, expected):
    backend = RecordingBackend()
    await backend.start(SPEC)

    await build_log_reader(backend).read(ADMIN, ONE, requested)

    assert backend.requested_lines == [expected]


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize(
    ("backend", "error"),
    [(NoneBackend(), LogsUnavailable), (FakeBackend(), LogsUnavailable), (UnreadableLogsBackend(), LogsUnreadable)],
)
async def test_missing_and_unreadable_logs_have_different_errors(build_log_reader, backend, error):
    with pytest.raises(ServiceError) as raised:
        await build_log_reader(backend).read(ADMIN, ONE, 200)

    assert type(raised.value) is error
    assert raised.value.details == ({"backend": backend.name} if error is LogsUnavailable else {})
