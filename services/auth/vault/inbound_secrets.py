"""Creates and reads inbound secrets, which the plane presents to workspaces.

They are sealed and not digested, because the plane needs their texts.
"""

import secrets

import structlog

from services.auth.errors import WorkspaceUnknown
from services.auth.model.placements import InboundSecret, Placement, WorkspaceId
from services.auth.rules.placements import require_active
from services.auth.store.transaction import Transaction
from services.auth.vault.sealing import Sealer

log = structlog.get_logger()

INBOUND_SEAL_NAME = "inbound"
"""The name that inbound secrets are sealed with. Other secrets have a colon in it, so neither opens as the other."""

INBOUND_SECRET_BYTES = 32
"""Bytes of entropy in an inbound secret."""


class InboundSecrets:
    """Inbound secrets. Every method runs in the transaction of its caller."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def read_or_heal(self, tx: Transaction, workspace_id: WorkspaceId) -> InboundSecret:
        """Return the secret; creates it if it is missing.

        Raises `SecretUnreadable` for a secret that cannot be opened. It is not replaced, because its workspace still
        expects it.
        """
        secret = await self.find(tx, workspace_id)
        return InboundSecret(secret, healed=False) if secret else await self._heal(tx, workspace_id)

    async def find(self, tx: Transaction, workspace_id: WorkspaceId) -> str | None:
        """Return the secret if it exists; raises `WorkspaceUnknown` or `SecretUnreadable`."""
        return self._open(_require_known(await tx.placements.find(workspace_id)))

    async def replace(self, tx: Transaction, workspace_id: WorkspaceId) -> str:
        """Create a secret that replaces the current one; raises `WorkspaceUnknown` or `WorkspaceBarred`."""
        require_active(await tx.placements.lock(workspace_id))
        secret = secrets.token_urlsafe(INBOUND_SECRET_BYTES)
        sealed = self._sealer.seal(secret, owner=workspace_id, name=INBOUND_SEAL_NAME)
        await tx.placements.save_inbound_secret(workspace_id, sealed)
        return secret

    async def _heal(self, tx: Transaction, workspace_id: WorkspaceId) -> InboundSecret:
        placement = _require_known(await tx.placements.lock(workspace_id))
        if found := self._open(placement):  # another transaction created it before the lock
            return InboundSecret(found, healed=False)
        secret = await self.replace(tx, workspace_id)
        log.info("inbound secret created", workspace=workspace_id)
        return InboundSecret(secret, healed=True)

    def _open(self, placement: Placement) -> str | None:
        """Return `None` for a missing secret. An empty one counts as missing, because it could not be presented."""
        if not placement.sealed_inbound_secret:
            return None
        return self._sealer.open(placement.sealed_inbound_secret, owner=placement.workspace_id, name=INBOUND_SEAL_NAME)


def _require_known(placement: Placement | None) -> Placement:
    if placement is None:
        raise WorkspaceUnknown
    return placement
