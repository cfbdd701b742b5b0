"""Who may read what an instance has written, and how its end is found."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import ServiceError, Unavailable
from services.chassis.identity import Identity, Kind
from services.provisioner.backends import tail, written
from services.provisioner.backends.none import NoneBackend
from services.provisioner.calls import Registry
from services.provisioner.errors import (
    BackendUnavailable,
    LogsUnavailable,
    LogsUnreadable,
    OrgAccessDenied,
    WorkspaceNotFound,
)
from services.provisioner.logs import Logs
from services.provisioner.model import Log
from tests.backends import FakeBackend
from tests.provisioner.backend_suite import spec_of
from tests.provisioner.neighbours import SmallAuth, SmallRegistry, servicers_of
from tests.rpc import running

ADMIN = Identity(kind=Kind.ADMIN)
SPEC = spec_of()
ONE = SPEC.workspace_id
ORG = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


class IllegibleBackend(FakeBackend):
    """Cannot read what its instances wrote."""

    async def logs(self, workspace_id, tail):
        raise BackendUnavailable


def org(org_id: str) -> Identity:
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset({"admin"}))


@pytest.fixture
def registry():
    small = SmallRegistry()
    small.want(ONE, org_id=ORG)
    return small


@pytest.fixture
async def logs_of(registry):
    async with running([servicers_of(registry, SmallAuth())[0]], caller_service="provisioner") as line:
        yield lambda backend: Logs(backend=backend, registry=Registry(line, backend=backend.name))


@pytest.fixture
async def logs(logs_of):
    backend = FakeBackend()
    await backend.start(SPEC)
    return logs_of(backend)


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize("caller", [ADMIN, Identity(kind=Kind.ANONYMOUS), org(ORG)])
async def test_operators_read_logs_and_organisations_their_own(logs, caller):
    assert await logs.read(caller, ONE, 200) == Log("generation 1\n")


@pytest.mark.parametrize("workspace_id", [ONE, OTHER], ids=["of another", "of nobody"])
@pytest.mark.parametrize("caller", [org(OTHER), org("")])
async def test_an_organisation_reads_no_log_of_another(logs, caller, workspace_id):
    with pytest.raises(OrgAccessDenied):
        await logs.read(caller, workspace_id, 200)


async def test_a_workspace_that_lies_in_no_known_organisation_is_in_nobodys(logs, registry):
    registry.want(ONE, org_id="")

    with pytest.raises(OrgAccessDenied):
        await logs.read(org(""), ONE, 200)


async def test_an_unknown_workspace_is_not_found(logs):
    with pytest.raises(WorkspaceNotFound):
        await logs.read(ADMIN, OTHER, 200)


@pytest.mark.covers("BEY-05")
async def test_nothing_is_told_while_the_registry_cannot_be_asked(logs, registry):
    registry.unreachable_for.add(ONE)
    for caller in (ADMIN, org(ORG)):
        with pytest.raises(Unavailable):
            await logs.read(caller, ONE, 200)


@pytest.mark.covers("PROV-55")
@pytest.mark.parametrize(
    ("backend", "refusal"),
    [(NoneBackend(), LogsUnavailable), (FakeBackend(), LogsUnavailable), (IllegibleBackend(), LogsUnreadable)],
)
async def test_where_there_is_no_log_or_none_can_be_read_that_is_said(logs_of, backend, refusal):
    with pytest.raises(ServiceError) as refused:
        await logs_of(backend).read(ADMIN, ONE, 200)

    assert type(refused.value) is refusal
    assert refused.value.details == ({"backend": backend.name} if refusal is LogsUnavailable else {})


@given(st.binary(max_size=200), st.integers(1, 9), st.booleans())
def test_the_end_is_an_end_of_whole_lines(text, lines, cut):
    found = tail.last(text, lines, cut=cut)

    ended = text if text.endswith(b"\n") or not text else text + b"\n"
    several = ended.count(b"\n") > lines
    expected = b"\n".join(ended.removesuffix(b"\n").split(b"\n")[-lines:]) + text[len(text.removesuffix(b"\n")) :]
    assert found == Log((expected if several else text).decode(errors="replace"), truncated=cut or several)


def test_a_log_put_aside_is_read_on_where_there_is_room(tmp_path):
    (tmp_path / "agent.log.1").write_bytes(b"y" * tail.LIMIT)
    (tmp_path / "agent.log").write_bytes(b"new\n")

    assert written.end_of(tmp_path) == (b"y" * (tail.LIMIT - 4) + b"new\n", True)


def test_no_link_and_no_pipe_is_followed(tmp_path):
    room, elsewhere = tmp_path / "log", tmp_path / "elsewhere"
    room.mkdir()
    elsewhere.mkdir()
    (elsewhere / "agent.log").write_text("of somebody else")
    (room / "agent.log").symlink_to(elsewhere / "agent.log")
    os.mkfifo(room / "agent.log.1")
    assert written.end_of(room) == (b"", False)

    (tmp_path / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert written.end_of(tmp_path / "linked") == (b"", False)
    assert written.end_of(tmp_path / "nowhere") == (b"", False)
