"""Tests `AuthService` over gRPC."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import select

from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from protos.common.v1 import identity_pb2
from services.auth.api.auth import AuthServicer
from services.auth.model.authorization import AccessMode
from services.auth.store.tables.placements import PLACEMENTS
from services.chassis.clients import ServiceChannel
from services.chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServiceError,
    Unauthenticated,
)
from services.chassis.service import Servicer
from tests.auth.conftest import ADMIN_TOKEN
from tests.rpc import open_channel_to


class Auth:
    """A client of `AuthService`, in the name of one service."""

    def __init__(self, line):
        self.line = line
        self.stub = rpc.AuthServiceStub(line.channel)

    def as_(self, speaker):
        return Auth(ServiceChannel(self.line.channel, speaker))

    async def ask(self, method, request):
        return await self.line.call(getattr(self.stub, method), request)

    def watch(self, after=0):
        return self.line.watch(self.stub.WatchRevocations, pb.WatchRevocationsRequest(after_revision=after))


@pytest.fixture
def served(authorizer, open_authorizer, placements, credential_service, feed):
    def serve(mode=AccessMode.CLOSED):
        gate_check = authorizer if mode is AccessMode.CLOSED else open_authorizer
        servicer = Servicer(
            contract=pb.DESCRIPTOR.services_by_name["AuthService"],
            add=rpc.add_AuthServiceServicer_to_server,
            servicer=AuthServicer(gate_check, placements, credential_service, feed),
        )
        return open_channel_to([servicer])

    return serve


@pytest.fixture
async def gateway(served):
    async with served() as line:
        yield Auth(line)


@pytest.fixture
def registry(gateway):
    return gateway.as_("registry")


@pytest.fixture
def provisioner(gateway):
    return gateway.as_("provisioner")


@pytest.fixture
async def placed(registry):
    """A confirmed workspace."""
    placement = pb.Placement(workspace_id=str(uuid4()), org_id=str(uuid4()))
    await registry.ask("PlaceWorkspaces", pb.PlaceWorkspacesRequest(placements=[placement]))
    await registry.ask("ConfirmWorkspaces", pb.ConfirmWorkspacesRequest(placements=[placement]))
    return placement.workspace_id


def request(gate, bearer=None, **about):
    return pb.AuthorizeRequest(gate=gate, bearer=bearer, **about)


async def test_a_token_is_issued_admitted_and_refused_after_a_bar(gateway, registry, provisioner, placed):
    issued = await provisioner.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed, generation=4))

    answer = await gateway.ask("Authorize", request(pb.GATE_WORKSPACE, issued.auth_token, workspace_id=placed))
    assert answer.identity == identity_pb2.Identity(
        kind=identity_pb2.IDENTITY_KIND_WORKSPACE, name=placed, generation=4, token_id=issued.token_id
    )

    assert (await registry.ask("BarWorkspace", pb.BarWorkspaceRequest(workspace_id=placed))).revoked == 1
    with pytest.raises(Unauthenticated) as refusal:
        await gateway.ask("Authorize", request(pb.GATE_WORKSPACE, issued.auth_token, workspace_id=placed))
    assert (refusal.value.reason, refusal.value.message) == ("INVALID_BEARER", "invalid workspace auth token")

    await registry.ask("ForgetWorkspace", pb.ForgetWorkspaceRequest(workspace_id=placed))
    with pytest.raises(NotFound) as unknown:
        await provisioner.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed))
    assert (unknown.value.reason, unknown.value.domain) == ("WORKSPACE_UNKNOWN", "molecule.auth.v1")


async def test_a_token_without_a_generation_gives_an_identity_without_one(gateway, registry, placed):
    issued = await registry.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed))
    answer = await gateway.ask("Authorize", request(pb.GATE_ANY, issued.auth_token))
    assert not answer.identity.HasField("generation")


async def test_admin_and_anonymous_callers_have_identities(served, gateway):
    answer = await gateway.ask("Authorize", request(pb.GATE_ADMIN, ADMIN_TOKEN))
    assert answer.identity == identity_pb2.Identity(kind=identity_pb2.IDENTITY_KIND_ADMIN)
    async with served(AccessMode.OPEN) as line:
        answer = await Auth(line).ask("Authorize", request(pb.GATE_ADMIN))
    assert answer.identity == identity_pb2.Identity(kind=identity_pb2.IDENTITY_KIND_ANONYMOUS)


async def test_every_gate_of_the_contract_has_its_refusal_text(gateway, placed):
    words = {}
    for gate in pb.Gate.values():
        if gate != pb.GATE_UNSPECIFIED:
            with pytest.raises(Unauthenticated) as refusal:
                await gateway.ask("Authorize", request(gate, workspace_id=placed))
            words[pb.Gate.Name(gate)] = refusal.value.message
    assert words == {
        "GATE_ADMIN": "admin auth required",
        "GATE_PLATFORM": "admin auth required",
        "GATE_WORKSPACE": "missing workspace auth token",
        "GATE_OWN": "missing workspace auth token",
        "GATE_ANY": "authentication required",
        "GATE_DISCOVERY": "missing workspace auth token",
        "GATE_REGISTER": "missing workspace auth token",
        "GATE_BODY": "missing workspace auth token",
        "GATE_A2A": "missing caller auth token",
        "GATE_TEST": "admin auth required",
    }


@pytest.mark.covers("AUTH-22")
async def test_a_claimed_workspace_is_compared_in_lower_case(gateway, registry, placed):
    issued = await registry.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed))
    await gateway.ask("Authorize", request(pb.GATE_A2A, issued.auth_token, claimed_workspace_id=placed.upper()))
    with pytest.raises(Unauthenticated, match=r"^invalid caller auth token$"):
        await gateway.ask("Authorize", request(pb.GATE_A2A, issued.auth_token, claimed_workspace_id="another"))


async def test_refusals_carry_reasons_and_details(provisioner, registry, placed):
    await provisioner.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed, generation=4))
    with pytest.raises(FailedPrecondition) as stale:
        await provisioner.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed, generation=3))
    assert (stale.value.reason, stale.value.details) == ("STALE_GENERATION", {"lowest_generation": 4})
    await registry.ask("BarWorkspace", pb.BarWorkspaceRequest(workspace_id=placed))
    with pytest.raises(FailedPrecondition) as barred:
        await provisioner.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed, generation=5))
    assert (barred.value.reason, barred.value.message) == ("WORKSPACE_BARRED", "workspace removed")


async def test_a_registering_workspace_receives_the_credentials_it_lacks(gateway, registry, placed):
    ensured = pb.EnsureCredentialsRequest(workspace_id=placed, anonymous=True)
    first = await registry.ask("EnsureCredentials", ensured)
    assert first.auth_token
    assert first.token_id
    with pytest.raises(Unauthenticated, match=r"^missing workspace auth token$"):
        await registry.ask("EnsureCredentials", ensured)

    second = await registry.ask("EnsureCredentials", pb.EnsureCredentialsRequest(workspace_id=placed))
    assert not second.HasField("auth_token")
    assert second.inbound_secret == first.inbound_secret
    told = await gateway.as_("a2a_proxy").ask(
        "ReadOrHealInboundSecret", pb.ReadOrHealInboundSecretRequest(workspace_id=placed)
    )
    assert (told.inbound_secret, told.healed) == (first.inbound_secret, False)


@pytest.mark.covers("AUTH-01")
async def test_an_inbound_secret_is_refused_as_a_bearer(gateway, registry, placed):
    told = await registry.ask("ReadOrHealInboundSecret", pb.ReadOrHealInboundSecretRequest(workspace_id=placed))
    assert told.healed
    with pytest.raises(Unauthenticated):
        await gateway.ask("Authorize", request(pb.GATE_WORKSPACE, told.inbound_secret, workspace_id=placed))


async def test_one_token_is_revoked_by_its_id(registry, placed):
    one, _ = [await registry.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed)) for _ in range(2)]
    revoke = pb.RevokeTokensRequest(workspace_id=placed, token_id=one.token_id)
    assert [(await registry.ask("RevokeTokens", revoke)).revoked for _ in range(2)] == [1, 0]
    assert (await registry.ask("RevokeTokens", pb.RevokeTokensRequest(workspace_id=placed))).revoked == 1


MALFORMED = [
    ("provisioner", "RevokeStaleTokens", pb.RevokeStaleTokensRequest(workspace_ids=["w"]), "workspace_ids"),
    ("provisioner", "RevokeStaleTokens", pb.RevokeStaleTokensRequest(unused_for=Duration(seconds=59)), "unused_for"),
    ("gateway", "Authorize", pb.AuthorizeRequest(), "gate"),
    ("gateway", "Authorize", request(99), "gate"),
    ("gateway", "Authorize", request(pb.GATE_ADMIN, scope="everything"), "scope"),
    ("gateway", "Authorize", request(pb.GATE_BODY, workspace_id="no uuid"), "workspace_id"),
    ("registry", "BarWorkspace", pb.BarWorkspaceRequest(), "workspace_id"),
    ("registry", "ForgetWorkspace", pb.ForgetWorkspaceRequest(workspace_id="\0"), "workspace_id"),
    ("registry", "IssueToken", pb.IssueTokenRequest(workspace_id=str(uuid4()), generation=0), "generation"),
    ("registry", "RevokeTokens", pb.RevokeTokensRequest(workspace_id=str(uuid4()), token_id="x"), "token_id"),
    (
        "registry",
        "PlaceWorkspaces",
        pb.PlaceWorkspacesRequest(placements=[pb.Placement(workspace_id=str(uuid4()))]),
        "org_id",
    ),
    (
        "registry",
        "ConfirmWorkspaces",
        pb.ConfirmWorkspacesRequest(
            placements=[pb.Placement(workspace_id=str(uuid4()), org_id=str(uuid4())) for _ in range(1001)]
        ),
        "placements",
    ),
]


@pytest.mark.parametrize(("speaker", "method", "malformed", "field"), MALFORMED)
async def test_a_malformed_field_is_named_in_the_error(gateway, speaker, method, malformed, field):
    with pytest.raises(InvalidArgument) as refusal:
        await gateway.as_(speaker).ask(method, malformed)
    assert refusal.value.details == {"field": field}


async def test_a_thousand_placements_are_saved_by_one_request_and_an_empty_request_changes_nothing(
    registry, fetch_rows
):
    placements = [pb.Placement(workspace_id=str(uuid4()), org_id=str(uuid4())) for _ in range(1000)]
    await registry.ask("PlaceWorkspaces", pb.PlaceWorkspacesRequest(placements=placements))
    await registry.ask("PlaceWorkspaces", pb.PlaceWorkspacesRequest())

    saved = await fetch_rows(select(PLACEMENTS.c.workspace_id, PLACEMENTS.c.org_id))
    assert sorted(saved) == sorted((placement.workspace_id, placement.org_id) for placement in placements)


async def test_of_two_placements_of_one_workspace_the_last_counts(registry, placed, fetch_rows):
    placements = [pb.Placement(workspace_id=placed, org_id=str(uuid4())) for _ in range(2)]
    await registry.ask("PlaceWorkspaces", pb.PlaceWorkspacesRequest(placements=placements))

    assert await fetch_rows(select(PLACEMENTS.c.workspace_id, PLACEMENTS.c.org_id)) == [(placed, placements[-1].org_id)]


CALLERS = {
    "Authorize": {"gateway"},
    "PlaceWorkspaces": {"registry"},
    "ConfirmWorkspaces": {"registry"},
    "BarWorkspace": {"registry"},
    "ForgetWorkspace": {"registry"},
    "IssueToken": {"registry", "provisioner"},
    "RevokeTokens": {"registry", "provisioner"},
    "RevokeStaleTokens": {"provisioner"},
    "EnsureCredentials": {"registry"},
    "ReadOrHealInboundSecret": {"registry", "provisioner", "a2a_proxy"},
}


@pytest.mark.parametrize("speaker", ["gateway", "registry", "provisioner", "a2a_proxy"])
@pytest.mark.parametrize("method", CALLERS)
async def test_only_the_callers_in_the_contract_may_call(gateway, method, speaker):
    try:
        await gateway.as_(speaker).ask(method, getattr(pb, f"{method}Request")())
        admitted = True
    except ServiceError as refusal:
        admitted = not isinstance(refusal, PermissionDenied)
    assert admitted is (speaker in CALLERS[method])


async def test_the_feed_sends_a_barred_workspace_and_a_revoked_token(gateway, registry, placed, feed):
    async with aclosing(gateway.watch()) as watch:
        reading = asyncio.ensure_future(reads(feed))
        try:
            start = await anext(watch)
            assert start.keepalive.seconds == 8
            one = await registry.ask("IssueToken", pb.IssueTokenRequest(workspace_id=placed))
            await registry.ask("RevokeTokens", pb.RevokeTokensRequest(workspace_id=placed, token_id=one.token_id))
            await registry.ask("BarWorkspace", pb.BarWorkspaceRequest(workspace_id=placed))
            token, workspace = await anext(watch), await anext(watch)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    assert token.WhichOneof("update") == "token_digest"
    assert workspace.workspace_id == placed
    assert start.revision < token.revision < workspace.revision

    async with aclosing(gateway.watch(10**9)) as watch:
        await anext(watch)
        assert (await anext(watch)).WhichOneof("update") == "all_revoked"


async def reads(feed):
    while True:
        await feed.poll()
