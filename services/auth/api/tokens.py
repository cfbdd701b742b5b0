"""Speaks protobuf and decides nothing."""

from protos.auth.v1 import tokens_pb2 as pb
from protos.auth.v1 import tokens_pb2_grpc as rpc
from services.auth.minting import WorkspaceTokenService
from services.auth.orgs import OrgTokenService
from services.auth.sessions import SessionService
from services.auth.wire import tokens as wire
from services.auth.wire.keys import workspace_from
from services.chassis import identity, pages
from services.chassis.rpc import Context


class TokenServicer(rpc.TokenServiceServicer):
    """What people do to tokens."""

    def __init__(self, mint: WorkspaceTokenService, orgs: OrgTokenService, sessions: SessionService) -> None:
        self._mint = mint
        self._orgs = orgs
        self._sessions = sessions

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """The live tokens of a workspace."""
        workspace_id = workspace_from(request.workspace_id)
        size = pages.page_size(request.page_size, default=50, most=200)
        offset = wire.place_from(request.page_token, request.offset)
        found = await self._mint.list(identity.current(), workspace_id, size=size + 1, offset=offset)
        shown, after = wire.page_of(found, size=size, offset=offset)
        return pb.ListTokensResponse(tokens=[wire.token_to(record) for record in shown], next_page_token=after)

    async def MintToken(self, request: pb.MintTokenRequest, context: Context) -> pb.MintTokenResponse:
        """A further token of a workspace."""
        workspace_id = workspace_from(request.workspace_id)
        note, expires_at = wire.note_from(request), wire.expiry_from(request)
        return wire.minted_to(await self._mint.mint(identity.current(), workspace_id, note=note, expires_at=expires_at))

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Context) -> pb.RevokeTokenResponse:
        """End a token of a workspace."""
        workspace_id, token_id = workspace_from(request.workspace_id), wire.token_from(request.token_id)
        await self._mint.revoke(identity.current(), workspace_id, token_id)
        return pb.RevokeTokenResponse()

    async def RotateToken(self, request: pb.RotateTokenRequest, context: Context) -> pb.RotateTokenResponse:
        """A fresh token in the place of one."""
        workspace_id, token_id = workspace_from(request.workspace_id), wire.token_from(request.token_id)
        grace = wire.grace_from(request.grace)
        return wire.rotated_to(await self._mint.rotate(identity.current(), workspace_id, token_id, grace=grace))

    async def MintTestToken(self, request: pb.MintTestTokenRequest, context: Context) -> pb.MintTestTokenResponse:
        """A token for whoever tests a workspace."""
        workspace_id = workspace_from(request.workspace_id)
        return wire.test_token_to(await self._mint.mint_for_test(identity.current(), workspace_id))

    async def ListOrgTokens(self, request: pb.ListOrgTokensRequest, context: Context) -> pb.ListOrgTokensResponse:
        """The live tokens of organisations."""
        org_id, offset = wire.org_from(request.org_id), wire.place_from(request.page_token, 0)
        size = pages.page_size(request.page_size, default=500, most=500)
        found = await self._orgs.list(identity.current(), org_id=org_id, size=size + 1, offset=offset)
        shown, after = wire.page_of(found, size=size, offset=offset)
        return pb.ListOrgTokensResponse(tokens=[wire.org_token_to(record) for record in shown], next_page_token=after)

    async def MintOrgToken(self, request: pb.MintOrgTokenRequest, context: Context) -> pb.MintOrgTokenResponse:
        """A token for an organisation."""
        return wire.org_minted_to(await self._orgs.mint(identity.current(), wire.wanted_from(request)))

    async def RevokeOrgToken(self, request: pb.RevokeOrgTokenRequest, context: Context) -> pb.RevokeOrgTokenResponse:
        """End a token of an organisation."""
        await self._orgs.revoke(identity.current(), wire.token_from(request.token_id))
        return pb.RevokeOrgTokenResponse()

    async def RotateOrgToken(self, request: pb.RotateOrgTokenRequest, context: Context) -> pb.RotateOrgTokenResponse:
        """A fresh token in the place of one."""
        token_id, grace = wire.token_from(request.token_id), wire.grace_from(request.grace)
        return wire.org_rotated_to(await self._orgs.rotate(identity.current(), token_id, grace=grace))

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionResponse:
        """Sign the caller in."""
        return wire.seated_to(await self._sessions.open(identity.current()))

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        """Until when a session lasts."""
        return pb.GetSessionResponse(expires_at=wire.moment_to(await self._sessions.find(request.session)))

    async def CloseSession(self, request: pb.CloseSessionRequest, context: Context) -> pb.CloseSessionResponse:
        """Sign whoever has the session out."""
        await self._sessions.close(request.session)
        return pb.CloseSessionResponse()
