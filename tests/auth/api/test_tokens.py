"""Tests `TokenService` over gRPC."""

from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.auth.api.tokens import TokenServicer
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.rules import token_text
from services.auth.tokens.org_tokens import OrgTokenService
from services.auth.tokens.sessions import SessionService
from services.auth.tokens.workspace_tokens import WorkspaceTokenService
from services.chassis.clients import ServiceChannel
from services.chassis.errors import InvalidArgument, PermissionDenied, ServiceError
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer
from tests.auth.conftest import ADMIN_TOKEN
from tests.rpc import open_channel_to

ADMIN = Identity(kind=Kind.ADMIN)
ANONYMOUS = Identity(kind=Kind.ANONYMOUS)
ORG = Identity(kind=Kind.ORG, name=str(uuid4()), org_id=str(uuid4()), scopes=frozenset({"admin"}))
W, T = str(uuid4()), str(uuid4())
SELF = Identity(kind=Kind.WORKSPACE, name=W)
OTHER = Identity(kind=Kind.WORKSPACE, name=str(uuid4()))


class TokenServiceClient:
    """A client of `TokenService` that calls on behalf of an identity."""

    def __init__(self, line):
        self.line = line
        self.stub = rpc.TokenServiceStub(line.channel)

    async def ask(self, method, request, caller=ADMIN):
        return await self.line.call(getattr(self.stub, method), request, on_behalf_of=caller)

    def as_(self, speaker):
        return TokenServiceClient(ServiceChannel(self.line.channel, speaker))


@pytest.fixture
async def client(store, audit_log, clock):
    servicer = TokenServicer(
        WorkspaceTokenService(store, audit_log=audit_log, clock=clock),
        OrgTokenService(store, audit_log=audit_log, clock=clock),
        SessionService(
            store,
            audit_log=audit_log,
            clock=clock,
            admin_digest=token_text.digest_token(ADMIN_TOKEN),
            lifetime=timedelta(hours=12),
        ),
    )
    contract = pb.DESCRIPTOR.services_by_name["TokenService"]
    async with open_channel_to(
        [Servicer(contract=contract, add=rpc.add_TokenServiceServicer_to_server, servicer=servicer)]
    ) as line:
        yield TokenServiceClient(line)


@pytest.fixture
async def root(placements) -> str:
    root = str(uuid4())
    await placements.confirm([OrgMembership(WorkspaceId(root), root)])
    return root


ABOUT_A_WORKSPACE = {"ADMIN", "ORG", "SELF", "ANONYMOUS"}
ABOUT_ORGS = {"ADMIN", "ORG", "ANONYMOUS"}
CALLERS = {
    "ListTokens": (pb.ListTokensRequest(workspace_id=W), ABOUT_A_WORKSPACE),
    "MintToken": (pb.MintTokenRequest(workspace_id=W), ABOUT_A_WORKSPACE),
    "RevokeToken": (pb.RevokeTokenRequest(workspace_id=W, token_id=T), ABOUT_A_WORKSPACE),
    "RotateToken": (pb.RotateTokenRequest(workspace_id=W, token_id=T), ABOUT_A_WORKSPACE),
    "MintTestToken": (pb.MintTestTokenRequest(workspace_id=W), {"ADMIN", "ANONYMOUS"}),
    "ListOrgTokens": (pb.ListOrgTokensRequest(), ABOUT_ORGS),
    "MintOrgToken": (pb.MintOrgTokenRequest(org_id=W), ABOUT_ORGS),
    "RevokeOrgToken": (pb.RevokeOrgTokenRequest(token_id=T), ABOUT_ORGS),
    "RotateOrgToken": (pb.RotateOrgTokenRequest(token_id=T), ABOUT_ORGS),
    "OpenSession": (pb.OpenSessionRequest(), {"ADMIN", "ORG"}),
    "GetSession": (pb.GetSessionRequest(session="s"), {"GATEWAY"}),
    "CloseSession": (pb.CloseSessionRequest(session="s"), {"GATEWAY"}),
}
EVERYBODY = {"ADMIN": ADMIN, "ORG": ORG, "SELF": SELF, "OTHER": OTHER, "ANONYMOUS": ANONYMOUS, "GATEWAY": None}


def test_every_method_is_in_the_table_of_callers():
    assert set(CALLERS) == {method.name for method in pb.DESCRIPTOR.services_by_name["TokenService"].methods}


@pytest.mark.covers("AUTH-20")
@pytest.mark.parametrize("method", CALLERS)
async def test_only_the_callers_in_the_contract_may_call(client, method):
    request, admitted = CALLERS[method]
    let_in = set()
    for name, caller in EVERYBODY.items():
        try:
            await client.ask(method, request, caller)
            let_in.add(name)
        except ServiceError as refusal:
            if refusal.reason != PermissionDenied.reason:
                let_in.add(name)
    assert let_in == admitted
    with pytest.raises(PermissionDenied):
        await client.as_("registry").ask(method, request, None)


MALFORMED = [
    ("ListTokens", pb.ListTokensRequest(workspace_id="x"), "workspace_id"),
    ("ListTokens", pb.ListTokensRequest(workspace_id=W, offset=-1), "offset"),
    ("ListTokens", pb.ListTokensRequest(workspace_id=W, offset=2**31 + 1), "offset"),
    ("RevokeToken", pb.RevokeTokenRequest(workspace_id=W, token_id="x"), "token_id"),
    ("RotateToken", pb.RotateTokenRequest(workspace_id=W, token_id=T, grace=Duration(seconds=-1)), "grace"),
    ("RotateToken", pb.RotateTokenRequest(workspace_id=W, token_id=T, grace=Duration(seconds=86_401)), "grace"),
    ("RotateOrgToken", pb.RotateOrgTokenRequest(token_id=T, grace=Duration(nanos=1)), "grace"),
    ("MintToken", pb.MintTokenRequest(workspace_id=W, expires_at=Timestamp(seconds=2**60)), "expires_at"),
    ("MintOrgToken", pb.MintOrgTokenRequest(org_id="x"), "org_id"),
    ("MintOrgToken", pb.MintOrgTokenRequest(org_id=W, scopes=["read"] * 17), "scopes"),
]


@pytest.mark.parametrize(("method", "request_", "field"), MALFORMED)
async def test_a_malformed_field_is_named_in_the_error(client, method, request_, field):
    with pytest.raises(InvalidArgument) as refusal:
        await client.ask(method, request_)
    assert refusal.value.details == {"field": field}


REFUSED = [
    ("MintToken", pb.MintTokenRequest(workspace_id=W, note="ä" * 101), "note too long (max 200 bytes)"),
    ("MintToken", pb.MintTokenRequest(workspace_id=W, note="\x1b[2J"), "note contains invalid characters"),
    ("MintOrgToken", pb.MintOrgTokenRequest(org_id=W, name="x" * 101), "name too long (max 100 chars)"),
    ("MintOrgToken", pb.MintOrgTokenRequest(org_id=W, name="a\nb"), "name contains invalid characters"),
    ("MintOrgToken", pb.MintOrgTokenRequest(org_id=W, scopes=["read", "rule"]), "unknown scope: rule"),
    ("MintOrgToken", pb.MintOrgTokenRequest(), "org_id is required"),
]


@pytest.mark.parametrize(("method", "request_", "words"), REFUSED)
async def test_an_invalid_request_for_a_token_is_refused_with_its_text(client, method, request_, words):
    with pytest.raises(InvalidArgument) as refusal:
        await client.ask(method, request_)
    assert (refusal.value.reason, refusal.value.message) == ("INVALID_TOKEN", words)


@pytest.mark.parametrize("place", ["x", "bnVsbA==", "WyItMSJd", "WyI5OTk5OTk5OTk5OTk5OTk5Il0="])
async def test_an_invalid_page_token_is_refused(client, place):
    with pytest.raises(InvalidArgument) as refusal:
        await client.ask("ListTokens", pb.ListTokensRequest(workspace_id=W, page_token=place))
    assert refusal.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.covers("AUTH-20")
async def test_a_workspace_token_is_minted_listed_rotated_and_revoked(client, root):
    minted = await client.ask("MintToken", pb.MintTokenRequest(workspace_id=root, note="n"))
    grace = Duration(seconds=60)
    rotate = pb.RotateTokenRequest(workspace_id=root, token_id=minted.token.id, grace=grace)
    rotated = await client.ask("RotateToken", rotate)
    first = await client.ask("ListTokens", pb.ListTokensRequest(workspace_id=root, page_size=1))
    second = await client.ask(
        "ListTokens", pb.ListTokensRequest(workspace_id=root, page_size=1, page_token=first.next_page_token)
    )

    assert rotated.previous_expires_at.seconds - minted.token.created_at.seconds == 60
    assert {first.tokens[0].id, second.tokens[0].id} == {minted.token.id, rotated.token.id}
    assert second.next_page_token == ""
    assert minted.auth_token.startswith(minted.token.prefix)
    for told in (first, second):
        assert minted.auth_token not in str(told)

    await client.ask("RevokeToken", pb.RevokeTokenRequest(workspace_id=root, token_id=minted.token.id))
    left = await client.ask("ListTokens", pb.ListTokensRequest(workspace_id=root))
    assert [token.id for token in left.tokens] == [rotated.token.id]


async def test_an_organisation_token_is_minted_listed_rotated_and_revoked(client, root):
    minted = await client.ask("MintOrgToken", pb.MintOrgTokenRequest(org_id=root, name="n"))
    assert list(minted.token.scopes) == ["read", "write", "a2a"]
    rotated = await client.ask("RotateOrgToken", pb.RotateOrgTokenRequest(token_id=minted.token.id))
    left = await client.ask("ListOrgTokens", pb.ListOrgTokensRequest())
    assert [token.id for token in left.tokens] == [rotated.token.id]
    await client.ask("RevokeOrgToken", pb.RevokeOrgTokenRequest(token_id=rotated.token.id))
    assert not (await client.ask("ListOrgTokens", pb.ListOrgTokensRequest())).tokens


async def test_a_session_is_opened_read_and_closed(client):
    opened = await client.ask("OpenSession", pb.OpenSessionRequest())
    looked = pb.GetSessionRequest(session=opened.session)
    assert (await client.ask("GetSession", looked, None)).expires_at == opened.expires_at
    await client.ask("CloseSession", pb.CloseSessionRequest(session=opened.session), None)
    assert not (await client.ask("GetSession", looked, None)).HasField("expires_at")


async def test_a_test_token_carries_its_expiry(client, root):
    minted = await client.ask("MintTestToken", pb.MintTestTokenRequest(workspace_id=root))
    [listed] = (await client.ask("ListTokens", pb.ListTokensRequest(workspace_id=root))).tokens
    assert (listed.note, listed.expires_at) == ("test token", minted.expires_at)
