"""A fake servicer of the vault of auth for tests over real gRPC."""

import asyncio

from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.chassis.errors import Unavailable
from services.chassis.service import Servicer


class FakeVault(rpc.VaultServiceServicer):
    """Stores secrets, and streams the changes that a test makes."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, str]] = {}
        self.changes: list[pb.SecretChange] = []
        self.watched_after: list[int] = []
        self.breaks = 0
        self._changed = asyncio.Event()

    async def StoreSecrets(self, request, context):
        self.stored[request.workspace_id] = dict(request.secrets)
        return pb.StoreSecretsResponse()

    async def WatchSecretChanges(self, request, context):
        self.watched_after.append(request.after)
        if self.breaks:
            self.breaks -= 1
            raise Unavailable
        last = request.after
        while True:
            changed = self._changed
            for change in [change for change in self.changes if change.id > last]:
                last = change.id
                yield pb.WatchSecretChangesResponse(change=change)
            yield pb.WatchSecretChangesResponse(keepalive={"seconds": 8})
            await changed.wait()

    def change(self, workspace_id="", *, overridden_by=()):
        """Add a change of a secret to the stream."""
        change = pb.SecretChange(
            id=len(self.changes) + 1, workspace_id=workspace_id, key="KEY", overridden_by=overridden_by
        )
        self.changes.append(change)
        self._changed.set()
        self._changed = asyncio.Event()


class UnavailableVault(FakeVault):
    """Cannot store secrets."""

    async def StoreSecrets(self, request, context):
        raise Unavailable


def serve_vault(vault: FakeVault) -> Servicer:
    return Servicer(
        contract=pb.DESCRIPTOR.services_by_name["VaultService"],
        add=rpc.add_VaultServiceServicer_to_server,
        servicer=vault,
    )
