"""Speaks protobuf and decides nothing, about secrets."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.auth.changes import SecretChangeFeed
from services.auth.vault import Vault
from services.auth.wire import vault as wire
from services.auth.wire.keys import workspace_from
from services.chassis import identity, pages
from services.chassis.rpc import Context

T = TypeVar("T")

MOST = 1000
"""Secrets on a page: what applies to a workspace fits one."""


class VaultServicer(rpc.VaultServiceServicer):
    """The face of the vault."""

    def __init__(self, vault: Vault, changes: SecretChangeFeed) -> None:
        self._vault = vault
        self._changes = changes

    async def ListSecrets(self, request: pb.ListSecretsRequest, context: Context) -> pb.ListSecretsResponse:
        labels = await self._vault.labels(identity.current(), wire.owner_from(request.workspace_id))
        some, token = _page(labels, request.page_size, request.page_token)
        return pb.ListSecretsResponse(secrets=[wire.label_to(label) for label in some], next_page_token=token)

    async def SetSecret(self, request: pb.SetSecretRequest, context: Context) -> pb.SetSecretResponse:
        await self._vault.set(identity.current(), wire.owner_from(request.workspace_id), request.key, request.value)
        return pb.SetSecretResponse()

    async def DeleteSecret(self, request: pb.DeleteSecretRequest, context: Context) -> pb.DeleteSecretResponse:
        await self._vault.erase(identity.current(), wire.owner_from(request.workspace_id), request.key)
        return pb.DeleteSecretResponse()

    async def ReadSecrets(self, request: pb.ReadSecretsRequest, context: Context) -> pb.ReadSecretsResponse:
        return wire.published_to(await self._vault.tell(workspace_from(request.workspace_id)))

    async def StoreSecrets(self, request: pb.StoreSecretsRequest, context: Context) -> pb.StoreSecretsResponse:
        await self._vault.keep(workspace_from(request.workspace_id), dict(request.secrets))
        return pb.StoreSecretsResponse()

    async def ListGlobalKeys(self, request: pb.ListGlobalKeysRequest, context: Context) -> pb.ListGlobalKeysResponse:
        some, token = _page(await self._vault.global_keys(), request.page_size, request.page_token)
        return pb.ListGlobalKeysResponse(keys=some, next_page_token=token)

    async def ReadEnvironment(self, request: pb.ReadEnvironmentRequest, context: Context) -> pb.ReadEnvironmentResponse:
        return wire.opened_to(await self._vault.open(workspace_from(request.workspace_id)))

    async def WatchSecretChanges(
        self, request: pb.WatchSecretChangesRequest, context: Context
    ) -> AsyncIterator[pb.WatchSecretChangesResponse]:
        async for news in self._changes.watch(request.after):
            yield wire.news_to(news)

    async def Reseal(self, request: pb.ResealRequest, context: Context) -> pb.ResealResponse:
        return wire.resealed_to(await self._vault.reseal())


def _page(found: Sequence[T], size: int, token: str) -> tuple[Sequence[T], str]:
    """The page that begins where the token says, and the token of the next one."""
    start = _start(token)
    end = start + pages.page_size(size, default=MOST, most=MOST)
    return found[start:end], pages.encode_page_token([str(end)]) if end < len(found) else ""


def _start(token: str) -> int:
    if not token:
        return 0
    [start] = pages.decode_page_token(token, 1)
    if not (start.isascii() and start.isdecimal()):
        raise pages.InvalidPageToken
    return int(start[:9])
