"""Serves `AuthService`."""

from collections.abc import AsyncIterator

from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.auth.authorization import Authorizer
from services.auth.feeds.revocations import RevocationFeed
from services.auth.placements import Placements
from services.auth.tokens.credentials import CredentialService
from services.auth.wire import auth as wire
from services.auth.wire import fields
from services.chassis.rpc import Context


class AuthServicer(rpc.AuthServiceServicer):
    """Authorises requests, and keeps placements and credentials of workspaces for other services."""

    def __init__(
        self,
        authorizer: Authorizer,
        placements: Placements,
        credentials: CredentialService,
        revocation_feed: RevocationFeed,
    ) -> None:
        self._authorizer = authorizer
        self._placements = placements
        self._credentials = credentials
        self._revocation_feed = revocation_feed

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        """Check one bearer at one gate."""
        bearer, session = wire.bearer_from(request), wire.session_from(request)
        authorization_request = wire.authorization_request_from(request)
        return wire.grant_to(await self._authorizer.authorize(bearer, authorization_request, session_text=session))

    async def PlaceWorkspaces(self, request: pb.PlaceWorkspacesRequest, context: Context) -> pb.PlaceWorkspacesResponse:
        """Save workspaces that will be created, or have moved."""
        await self._placements.place(wire.memberships_from(request.placements))
        return pb.PlaceWorkspacesResponse()

    async def ConfirmWorkspaces(
        self, request: pb.ConfirmWorkspacesRequest, context: Context
    ) -> pb.ConfirmWorkspacesResponse:
        """Note that workspaces were created."""
        await self._placements.confirm(wire.memberships_from(request.placements))
        return pb.ConfirmWorkspacesResponse()

    async def BarWorkspace(self, request: pb.BarWorkspaceRequest, context: Context) -> pb.BarWorkspaceResponse:
        """Revoke all tokens of a workspace and refuse new ones permanently."""
        return pb.BarWorkspaceResponse(
            revoked=await self._placements.bar(fields.workspace_id_from(request.workspace_id))
        )

    async def ForgetWorkspace(self, request: pb.ForgetWorkspaceRequest, context: Context) -> pb.ForgetWorkspaceResponse:
        """Delete everything about a workspace."""
        await self._placements.forget(fields.workspace_id_from(request.workspace_id))
        return pb.ForgetWorkspaceResponse()

    async def IssueToken(self, request: pb.IssueTokenRequest, context: Context) -> pb.IssueTokenResponse:
        """Issue a token for a workspace."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        issued = await self._credentials.issue(
            workspace_id, generation=wire.generation_from(request), org_token_id=wire.org_token_id_from(request)
        )
        return wire.issued_to(issued)

    async def RevokeTokens(self, request: pb.RevokeTokensRequest, context: Context) -> pb.RevokeTokensResponse:
        """Revoke the tokens of a workspace, or one of them."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        revoked = await self._credentials.revoke(workspace_id, only=wire.token_id_from(request))
        return pb.RevokeTokensResponse(revoked=revoked)

    async def RevokeStaleTokens(
        self, request: pb.RevokeStaleTokensRequest, context: Context
    ) -> pb.RevokeStaleTokensResponse:
        """Revoke the tokens of instances that no longer exist."""
        revoked = await self._credentials.revoke_stale(
            wire.workspace_ids_from(request.workspace_ids), unused_for=wire.unused_for_from(request)
        )
        return pb.RevokeStaleTokensResponse(revoked=revoked)

    async def EnsureCredentials(
        self, request: pb.EnsureCredentialsRequest, context: Context
    ) -> pb.EnsureCredentialsResponse:
        """Return the credentials that a registering workspace lacks."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        credentials = await self._credentials.ensure_credentials(
            workspace_id, auth=wire.registration_auth_from(request)
        )
        return wire.credentials_to(credentials)

    async def ReadOrHealInboundSecret(
        self, request: pb.ReadOrHealInboundSecretRequest, context: Context
    ) -> pb.ReadOrHealInboundSecretResponse:
        """Return the secret that the plane presents to a workspace; creates it if it is missing."""
        workspace_id = fields.workspace_id_from(request.workspace_id)
        return wire.inbound_secret_to(await self._credentials.read_or_heal_inbound_secret(workspace_id))

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Stream revocations as they commit."""
        async for update in self._revocation_feed.watch(request.after_revision):
            yield wire.update_to(update)
