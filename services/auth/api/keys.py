"""Speaks protobuf and decides nothing."""

from collections.abc import AsyncIterator

from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.auth.feed import RevocationFeed
from services.auth.keyring import Keyring
from services.auth.wire import keys as wire
from services.chassis.rpc import Context


class AuthServicer(rpc.AuthServiceServicer):
    """The face of auth."""

    def __init__(self, keyring: Keyring, feed: RevocationFeed) -> None:
        self._keyring = keyring
        self._feed = feed

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        """Judge one bearer at one gate."""
        bearer, session = wire.bearer_from(request), wire.session_from(request)
        return wire.passage_to(await self._keyring.authorize(bearer, wire.knock_from(request), session=session))

    async def PlaceWorkspaces(self, request: pb.PlaceWorkspacesRequest, context: Context) -> pb.PlaceWorkspacesResponse:
        """Know workspaces before they are created."""
        await self._keyring.place(wire.homes_from(request.placements))
        return pb.PlaceWorkspacesResponse()

    async def ConfirmWorkspaces(
        self, request: pb.ConfirmWorkspacesRequest, context: Context
    ) -> pb.ConfirmWorkspacesResponse:
        """Know that they were."""
        await self._keyring.confirm(wire.homes_from(request.placements))
        return pb.ConfirmWorkspacesResponse()

    async def BarWorkspace(self, request: pb.BarWorkspaceRequest, context: Context) -> pb.BarWorkspaceResponse:
        """Revoke everything, for good."""
        return pb.BarWorkspaceResponse(revoked=await self._keyring.bar(wire.workspace_from(request.workspace_id)))

    async def ForgetWorkspace(self, request: pb.ForgetWorkspaceRequest, context: Context) -> pb.ForgetWorkspaceResponse:
        """Erase everything."""
        await self._keyring.forget(wire.workspace_from(request.workspace_id))
        return pb.ForgetWorkspaceResponse()

    async def IssueToken(self, request: pb.IssueTokenRequest, context: Context) -> pb.IssueTokenResponse:
        """Put a fresh token in force."""
        workspace_id = wire.workspace_from(request.workspace_id)
        issued = await self._keyring.issue(workspace_id, generation=wire.generation_from(request))
        return wire.issued_to(issued)

    async def RevokeTokens(self, request: pb.RevokeTokensRequest, context: Context) -> pb.RevokeTokensResponse:
        """Put tokens out of force."""
        workspace_id = wire.workspace_from(request.workspace_id)
        revoked = await self._keyring.revoke(workspace_id, only=wire.token_from(request))
        return pb.RevokeTokensResponse(revoked=revoked)

    async def RevokeStaleTokens(
        self, request: pb.RevokeStaleTokensRequest, context: Context
    ) -> pb.RevokeStaleTokensResponse:
        """Put out of force what instances that are gone have left behind."""
        revoked = await self._keyring.revoke_stale(
            wire.workspaces_from(request.workspace_ids), unused_for=wire.idleness_from(request)
        )
        return pb.RevokeStaleTokensResponse(revoked=revoked)

    async def EnsureCredentials(
        self, request: pb.EnsureCredentialsRequest, context: Context
    ) -> pb.EnsureCredentialsResponse:
        """Give a registering workspace what it lacks."""
        workspace_id = wire.workspace_from(request.workspace_id)
        credentials = await self._keyring.ensure_credentials(workspace_id, arrival=wire.arrival_from(request))
        return wire.credentials_to(credentials)

    async def ReadOrHealInboundSecret(
        self, request: pb.ReadOrHealInboundSecretRequest, context: Context
    ) -> pb.ReadOrHealInboundSecretResponse:
        """Tell the secret that the plane presents."""
        secret = await self._keyring.read_or_heal_inbound_secret(wire.workspace_from(request.workspace_id))
        return wire.inbound_secret_to(secret)

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """Tell what is revoked, as it happens."""
        async for news in self._feed.watch(request.after_revision):
            yield wire.news_to(news)
