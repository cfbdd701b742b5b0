"""Serves `TokenService`."""

from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.auth.tokens.org_tokens import OrgTokenService
from services.auth.tokens.sessions import SessionService
from services.auth.tokens.workspace_tokens import WorkspaceTokenService
from services.auth.wire import fields
from services.auth.wire import tokens as wire
from services.chassis import identity, pages
from services.chassis.rpc import Context


class TokenServicer(rpc.TokenServiceServicer):
    """Manages tokens of workspaces and organisations, and browser sessions, for users."""

    def __init__(
        self, workspace_tokens: WorkspaceTokenService, org_tokens: OrgTokenService, sessions: SessionService
    ) -> None:
        self._workspace_tokens = workspace_tokens
        self._org_tokens = org_tokens
        self._sessions = sessions

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """List the live tokens of a workspace."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        size = pages.choose_page_size(request.page_size, default=50, maximum=200)
        offset = wire.offset_from(request.page_token, request.offset)
        found = await self._workspace_tokens.list(identity.current(), workspace_id, limit=size + 1, offset=offset)
        page, next_page_token = wire.split_page(found, size=size, offset=offset)
        return pb.ListTokensResponse(tokens=[wire.token_to(record) for record in page], next_page_token=next_page_token)

    async def MintToken(self, request: pb.MintTokenRequest, context: Context) -> pb.MintTokenResponse:
        """Add a token to a workspace."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        note, expires_at = wire.note_from(request), wire.expiry_from(request)
        minted = await self._workspace_tokens.mint(identity.current(), workspace_id, note=note, expires_at=expires_at)
        return wire.minted_to(minted)

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Context) -> pb.RevokeTokenResponse:
        """Revoke a token of a workspace."""
        workspace_id, token_id = fields.workspace_id_from(request.workspace_id), wire.token_id_from(request.token_id)
        await self._workspace_tokens.revoke(identity.current(), workspace_id, token_id)
        return pb.RevokeTokenResponse()

    async def RotateToken(self, request: pb.RotateTokenRequest, context: Context) -> pb.RotateTokenResponse:
        """Replace a token of a workspace by a new one."""
        workspace_id, token_id = fields.workspace_id_from(request.workspace_id), wire.token_id_from(request.token_id)
        grace = wire.grace_from(request.grace)
        minted = await self._workspace_tokens.rotate(identity.current(), workspace_id, token_id, grace=grace)
        return wire.rotated_to(minted)

    async def MintTestToken(self, request: pb.MintTestTokenRequest, context: Context) -> pb.MintTestTokenResponse:
        """Add a token for testing a workspace."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        return wire.test_token_to(await self._workspace_tokens.mint_for_test(identity.current(), workspace_id))

    async def ListOrgTokens(self, request: pb.ListOrgTokensRequest, context: Context) -> pb.ListOrgTokensResponse:
        """List live tokens of organisations."""
        org_id, offset = wire.org_id_from(request.org_id), wire.offset_from(request.page_token, 0)
        size = pages.choose_page_size(request.page_size, default=500, maximum=500)
        found = await self._org_tokens.list(identity.current(), org_id=org_id, limit=size + 1, offset=offset)
        page, next_page_token = wire.split_page(found, size=size, offset=offset)
        return pb.ListOrgTokensResponse(
            tokens=[wire.org_token_to(record) for record in page], next_page_token=next_page_token
        )

    async def MintOrgToken(self, request: pb.MintOrgTokenRequest, context: Context) -> pb.MintOrgTokenResponse:
        """Add a token to an organisation."""
        minted = await self._org_tokens.mint(identity.current(), wire.org_token_request_from(request))
        return wire.org_minted_to(minted)

    async def RevokeOrgToken(self, request: pb.RevokeOrgTokenRequest, context: Context) -> pb.RevokeOrgTokenResponse:
        """Revoke a token of an organisation."""
        await self._org_tokens.revoke(identity.current(), wire.token_id_from(request.token_id))
        return pb.RevokeOrgTokenResponse()

    async def RotateOrgToken(self, request: pb.RotateOrgTokenRequest, context: Context) -> pb.RotateOrgTokenResponse:
        """Replace a token of an organisation by a new one."""
        token_id, grace = wire.token_id_from(request.token_id), wire.grace_from(request.grace)
        return wire.org_rotated_to(await self._org_tokens.rotate(identity.current(), token_id, grace=grace))

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionResponse:
        """Open a browser session for the caller."""
        return wire.session_to(await self._sessions.open(identity.current()))

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        """Return when a session expires."""
        expires_at = await self._sessions.find_expiry(request.session)
        return pb.GetSessionResponse(expires_at=fields.optional_timestamp_to(expires_at))

    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionResponse:
        """Close a session."""
        await self._sessions.close(request.session)
        return pb.CloseSessionResponse()
