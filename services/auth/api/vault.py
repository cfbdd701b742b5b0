"""Serves `VaultService`."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.auth.feeds.secret_changes import SecretChangeFeed
from services.auth.vault.secrets import Vault
from services.auth.wire import fields
from services.auth.wire import vault as wire
from services.chassis import identity, pages
from services.chassis.rpc import Context

T = TypeVar("T")

MAX_PAGE_SIZE = 1000
"""Limit of the secrets on a page; all secrets that apply to a workspace fit on one."""

MAX_OFFSET_DIGITS = 9


class VaultServicer(rpc.VaultServiceServicer):
    """Manages secrets for users, and reads them for agents and other services."""

    def __init__(self, vault: Vault, secret_change_feed: SecretChangeFeed) -> None:
        self._vault = vault
        self._secret_change_feed = secret_change_feed

    async def ListSecrets(self, request: pb.ListSecretsRequest, context: Context) -> pb.ListSecretsResponse:
        """List secrets without their values."""
        found = await self._vault.list_metadata(identity.current(), wire.owner_from(request.workspace_id))
        page, next_page_token = _split_page(found, request.page_size, request.page_token)
        return pb.ListSecretsResponse(
            secrets=[wire.metadata_to(metadata) for metadata in page], next_page_token=next_page_token
        )

    async def SetSecret(self, request: pb.SetSecretRequest, context: Context) -> pb.SetSecretResponse:
        """Set a secret."""
        await self._vault.set(identity.current(), wire.owner_from(request.workspace_id), request.key, request.value)
        return pb.SetSecretResponse()

    async def DeleteSecret(self, request: pb.DeleteSecretRequest, context: Context) -> pb.DeleteSecretResponse:
        """Delete a secret."""
        await self._vault.delete(identity.current(), wire.owner_from(request.workspace_id), request.key)
        return pb.DeleteSecretResponse()

    async def ReadSecrets(self, request: pb.ReadSecretsRequest, context: Context) -> pb.ReadSecretsResponse:
        """Return the values that apply to a workspace, for the workspace itself."""
        return wire.values_to(await self._vault.read_values(fields.workspace_id_from(request.workspace_id)))

    async def StoreSecrets(self, request: pb.StoreSecretsRequest, context: Context) -> pb.StoreSecretsResponse:
        """Store the secrets that a workspace is created with."""
        await self._vault.store_initial(fields.workspace_id_from(request.workspace_id), dict(request.secrets))
        return pb.StoreSecretsResponse()

    async def ListGlobalKeys(self, request: pb.ListGlobalKeysRequest, context: Context) -> pb.ListGlobalKeysResponse:
        """List the keys of the global secrets."""
        page, next_page_token = _split_page(await self._vault.list_global_keys(), request.page_size, request.page_token)
        return pb.ListGlobalKeysResponse(keys=page, next_page_token=next_page_token)

    async def ReadEnvironment(self, request: pb.ReadEnvironmentRequest, context: Context) -> pb.ReadEnvironmentResponse:
        """Return the values for the environment of an instance."""
        return wire.environment_to(await self._vault.read_environment(fields.workspace_id_from(request.workspace_id)))

    async def ReadAgentCredentials(
        self, request: pb.ReadAgentCredentialsRequest, context: Context
    ) -> pb.ReadAgentCredentialsResponse:
        """Return the credentials that the plane presents to the agent of a workspace."""
        credentials = await self._vault.read_agent_credentials(fields.workspace_id_from(request.workspace_id))
        return pb.ReadAgentCredentialsResponse(credentials=credentials)

    async def WatchSecretChanges(
        self, request: pb.WatchSecretChangesRequest, context: Context
    ) -> AsyncIterator[pb.WatchSecretChangesResponse]:
        """Stream changes of secrets as they commit."""
        async for update in self._secret_change_feed.watch(request.after):
            yield wire.update_to(update)

    async def Reseal(self, request: pb.ResealRequest, context: Context) -> pb.ResealResponse:
        """Seal secrets of older keys with the newest key."""
        return wire.reseal_result_to(await self._vault.reseal())


def _split_page(found: Sequence[T], size: int, page_token: str) -> tuple[Sequence[T], str]:
    """Return the page that the token names, and the token of the next page; empty if it is the last."""
    start = _parse_offset(page_token)
    end = start + pages.choose_page_size(size, default=MAX_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
    return found[start:end], pages.encode_page_token([str(end)]) if end < len(found) else ""


def _parse_offset(page_token: str) -> int:
    if not page_token:
        return 0
    [start] = pages.decode_page_token(page_token, 1)
    if not (start.isascii() and start.isdecimal()):
        raise pages.InvalidPageToken
    return int(start[:MAX_OFFSET_DIGITS])
