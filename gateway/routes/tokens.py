"""Routes of tokens: of workspaces and of organisations."""

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway import json_format
from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, MINT, READ, WRITE, Guard
from gateway.ids import parse_uuid
from gateway.limits import HOUR_SECONDS, MINT_LIMIT, CountedBy, Quota, RouteLimit
from gateway.query_params import parse_limit, parse_natural_number
from gateway.request_body import BodySpec, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.tokens import (
    MintedOrgToken,
    MintedToken,
    NewOrgToken,
    NewToken,
    OrgTokenList,
    RevocationResult,
    RevokedOrgToken,
    TestToken,
    TokenList,
    TokenRotation,
    render_org_token,
    render_token,
)
from protos.auth.v1 import auth_pb2
from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

TEST_GUARD = Guard(gate=auth_pb2.GATE_TEST, allows_sessions=False)
"""Without sessions: only a caller that knows a token mints another one with a GET."""

ORG_MINT_LIMIT = RouteLimit(quota=Quota(10, HOUR_SECONDS), per=CountedBy.ADDRESS)

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

MAX_OFFSET = 2**31

SAVE_NOW_TEXT = "Save this token now — it cannot be retrieved again."
COPY_NOW_TEXT = "copy this token now; it will not be shown again"

ROTATION_BODY = BodySpec(
    model=TokenRotation, fault_to_error=refuse_with_text("grace_seconds must be 0-86400"), required=False
)


class TokenRoutes:
    """Routes to auth."""

    def __init__(self, auth: ServiceChannel) -> None:
        self._auth = auth
        self._stub = rpc.TokenServiceStub(auth.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [*self._workspace_routes(), *self._org_routes()]

    def _workspace_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/tokens",
                handler=self.list_of_workspace,
                summary="The live tokens of a workspace, newest first",
                guard=READ,
                query={"limit": "1 to 200; anything else is 50", "offset": "How many to pass over first"},
                answer=TokenList,
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/tokens",
                handler=self.mint,
                summary="Mint a further token for a workspace",
                guard=MINT,
                body=BodySpec(model=NewToken, required=False),
                success=201,
                answer=MintedToken,
                limit=MINT_LIMIT,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/tokens/{tokenId}",
                handler=self.revoke,
                summary="End a token of a workspace",
                guard=WRITE,
                answer=RevocationResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/tokens/{tokenId}/rotate",
                handler=self.rotate,
                summary="Put a fresh token in the place of one, which stays in force for a grace",
                guard=MINT,
                body=ROTATION_BODY,
                success=201,
                answer=MintedToken,
                limit=MINT_LIMIT,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/admin/workspaces/{id}/test-token",
                handler=self.mint_test_token,
                summary="Mint a token to test a workspace with, good for a day",
                guard=TEST_GUARD,
                own_pages_only=True,
                answer=TestToken,
                limit=MINT_LIMIT,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    def _org_routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/org/tokens",
                handler=self.list_org_tokens,
                summary="The live organisation tokens, newest first",
                guard=ADMIN,
                query={"org_id": "Of this organisation only"},
                answer=OrgTokenList,
                refusal_statuses=frozenset({400}),
            ),
            Route(
                method="POST",
                path="/org/tokens",
                handler=self.mint_org_token,
                summary="Mint a token for an organisation",
                guard=ADMIN,
                body=BodySpec(model=NewOrgToken),
                answer=MintedOrgToken,
                refusal_statuses=frozenset({404}),
                limit=ORG_MINT_LIMIT,
            ),
            Route(
                method="DELETE",
                path="/org/tokens/{tokenId}",
                handler=self.revoke_org_token,
                summary="End an organisation token, and the sessions opened with it",
                guard=ADMIN,
                answer=RevokedOrgToken,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/org/tokens/{tokenId}/rotate",
                handler=self.rotate_org_token,
                summary="Put a fresh token in the place of one, which stays in force for a grace",
                guard=ADMIN,
                body=ROTATION_BODY,
                success=201,
                answer=MintedOrgToken,
                limit=MINT_LIMIT,
                refusal_statuses=frozenset({404, 409}),
            ),
        ]

    async def list_of_workspace(self, call: Call) -> object:
        """List the live tokens of a workspace."""
        request = pb.ListTokensRequest(
            workspace_id=call.workspace_id,
            page_size=parse_limit(call.query.get("limit", ""), maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
            offset=_parse_offset(call.query.get("offset", "")),
        )
        reply: pb.ListTokensResponse = await self._auth.call(self._stub.ListTokens, request, on_behalf_of=call.identity)
        return TokenList(count=len(reply.tokens), tokens=[render_token(message) for message in reply.tokens])

    async def mint(self, call: Call) -> object:
        """Mint a further token for a workspace."""
        request = pb.MintTokenRequest(
            workspace_id=call.workspace_id, note=call.body.note, expires_at=_parse_expiry(call.body.expires_at)
        )
        reply: pb.MintTokenResponse = await self._auth.call(self._stub.MintToken, request, on_behalf_of=call.identity)
        return _render_minted(reply, call.workspace_id)

    async def revoke(self, call: Call) -> object:
        """Revoke a token of a workspace."""
        request = pb.RevokeTokenRequest(workspace_id=call.workspace_id, token_id=call.path["tokenId"])
        await self._auth.call(self._stub.RevokeToken, request, on_behalf_of=call.identity)
        return RevocationResult(status="revoked")

    async def rotate(self, call: Call) -> object:
        """Replace a token; the old one expires after a grace period."""
        request = pb.RotateTokenRequest(
            workspace_id=call.workspace_id,
            token_id=call.path["tokenId"],
            grace=Duration(seconds=call.body.grace_seconds),
        )
        reply: pb.RotateTokenResponse = await self._auth.call(
            self._stub.RotateToken, request, on_behalf_of=call.identity
        )
        minted = _render_minted(reply, call.workspace_id)
        minted["previous_expires_at"] = json_format.format_timestamp(reply.previous_expires_at)
        return minted

    async def mint_test_token(self, call: Call) -> object:
        """Mint a token to test a workspace with."""
        request = pb.MintTestTokenRequest(workspace_id=call.workspace_id)
        reply: pb.MintTestTokenResponse = await self._auth.call(
            self._stub.MintTestToken, request, on_behalf_of=call.identity
        )
        return TestToken(
            auth_token=reply.auth_token,
            workspace_id=call.workspace_id,
            expires_at=json_format.format_timestamp(reply.expires_at),
        )

    async def list_org_tokens(self, call: Call) -> object:
        """List the valid tokens of organisations."""
        org_id = call.query.get("org_id", "")
        request = pb.ListOrgTokensRequest(org_id=parse_uuid(org_id, "invalid org ID") if org_id else "")
        reply: pb.ListOrgTokensResponse = await self._auth.call(
            self._stub.ListOrgTokens, request, on_behalf_of=call.identity
        )
        return OrgTokenList(count=len(reply.tokens), tokens=[render_org_token(message) for message in reply.tokens])

    async def mint_org_token(self, call: Call) -> object:
        """Mint a token of an organisation."""
        body = call.body
        request = pb.MintOrgTokenRequest(
            org_id=body.org_id or "", name=body.name, scopes=body.scopes, expires_at=_parse_expiry(body.expires_at)
        )
        reply: pb.MintOrgTokenResponse = await self._auth.call(
            self._stub.MintOrgToken, request, on_behalf_of=call.identity
        )
        return _render_minted_org(reply)

    async def revoke_org_token(self, call: Call) -> object:
        """Revoke a token of an organisation."""
        token_id = call.path["tokenId"]
        await self._auth.call(
            self._stub.RevokeOrgToken, pb.RevokeOrgTokenRequest(token_id=token_id), on_behalf_of=call.identity
        )
        return RevokedOrgToken(revoked=token_id)

    async def rotate_org_token(self, call: Call) -> object:
        """Replace a token; the old one expires after a grace period."""
        request = pb.RotateOrgTokenRequest(
            token_id=call.path["tokenId"], grace=Duration(seconds=call.body.grace_seconds)
        )
        reply: pb.RotateOrgTokenResponse = await self._auth.call(
            self._stub.RotateOrgToken, request, on_behalf_of=call.identity
        )
        minted = _render_minted_org(reply)
        minted["previous_expires_at"] = json_format.format_timestamp(reply.previous_expires_at)
        return minted


def _parse_offset(text: str) -> int:
    if not text:
        return 0
    offset = parse_natural_number(text)
    if offset is None:
        raise MalformedRequest("offset must be a non-negative integer")
    return min(offset, MAX_OFFSET)


def _parse_expiry(text: str | None) -> Timestamp | None:
    if text is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp


def _render_minted(reply: pb.MintTokenResponse | pb.RotateTokenResponse, workspace_id: str) -> MintedToken:
    minted = MintedToken(
        id=reply.token.id, auth_token=reply.auth_token, workspace_id=workspace_id, message=SAVE_NOW_TEXT
    )
    if reply.token.HasField("expires_at"):
        minted["expires_at"] = json_format.format_timestamp(reply.token.expires_at)
    return minted


def _render_minted_org(reply: pb.MintOrgTokenResponse | pb.RotateOrgTokenResponse) -> MintedOrgToken:
    token = reply.token
    minted = MintedOrgToken(
        id=token.id,
        prefix=token.prefix,
        org_id=token.org_id,
        scopes=list(token.scopes),
        auth_token=reply.auth_token,
        warning=COPY_NOW_TEXT,
    )
    if token.name:
        minted["name"] = token.name
    if token.HasField("expires_at"):
        minted["expires_at"] = json_format.format_timestamp(token.expires_at)
    return minted
