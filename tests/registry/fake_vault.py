"""The vault, as the registry meets it: named after what it does."""

import asyncio

from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.chassis.errors import Unavailable
from services.chassis.service import Servicer


class FakeVault(rpc.VaultServiceServicer):
    """Keeps what it is given, and tells of changes."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.changes: list[pb.SecretChange] = []
        self.begun_after: list[int] = []
        self.breaks = 0
        self._changed = asyncio.Event()

    async def StoreSecrets(self, request, context):
        self.kept[request.workspace_id] = dict(request.secrets)
        return pb.StoreSecretsResponse()

    async def WatchSecretChanges(self, request, context):
        self.begun_after.append(request.after)
        if self.breaks:
            self.breaks -= 1
            raise Unavailable
        told = request.after
        while True:
            changed = self._changed
            for change in [change for change in self.changes if change.id > told]:
                told = change.id
                yield pb.WatchSecretChangesResponse(change=change)
            yield pb.WatchSecretChangesResponse(keepalive={"seconds": 8})
            await changed.wait()

    def change(self, workspace_id="", *, overridden_by=()):
        """A secret changes."""
        told = pb.SecretChange(
            id=len(self.changes) + 1, workspace_id=workspace_id, key="KEY", overridden_by=overridden_by
        )
        self.changes.append(told)
        self._changed.set()
        self._changed = asyncio.Event()


class UnavailableVault(FakeVault):
    """Cannot keep anything just now."""

    async def StoreSecrets(self, request, context):
        raise Unavailable


def serve_vault(vault: FakeVault) -> Servicer:
    return Servicer(
        contract=pb.DESCRIPTOR.services_by_name["VaultService"],
        add=rpc.add_VaultServiceServicer_to_server,
        servicer=vault,
    )
