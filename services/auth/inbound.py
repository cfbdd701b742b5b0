"""The secret that the plane presents to a workspace: stored so that it can be read back, sealed to its workspace."""

import secrets

import structlog

from services.auth.errors import WorkspaceBarred, WorkspaceUnknown
from services.auth.model import InboundSecret, Placement, WorkspaceId
from services.auth.sealing import Sealer
from services.auth.store.keys import Transaction

log = structlog.get_logger()

INBOUND_SEAL_NAME = "inbound"
"""What the secret is sealed as. What the vault seals has a colon in its name, so neither opens as the other."""

INBOUND_SECRET_BYTES = 32
"""Bytes of entropy in a secret."""


class InboundSecrets:
    """Reads, makes and heals inbound secrets, each within a transaction of the caller's."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def read_or_heal(self, tx: Transaction, workspace_id: WorkspaceId) -> InboundSecret:
        """The secret, made first where it is missing.

        A secret that is there and cannot be opened raises `SecretUnreadable`, and nothing is made: its workspace
        still expects the old one.
        """
        secret = await self.find(tx, workspace_id)
        return InboundSecret(secret, healed=False) if secret else await self._heal(tx, workspace_id)

    async def find(self, tx: Transaction, workspace_id: WorkspaceId) -> str | None:
        """The secret, if there is one; raises `WorkspaceUnknown` or `SecretUnreadable`."""
        return self._open(_known(await tx.find_placement(workspace_id)))

    async def issue(self, tx: Transaction, workspace_id: WorkspaceId) -> str:
        """A new secret in place of what was there; raises `WorkspaceUnknown` or `WorkspaceBarred`."""
        placement = _known(await tx.lock_placement(workspace_id))
        if placement.barred_at is not None:
            raise WorkspaceBarred
        secret = secrets.token_urlsafe(INBOUND_SECRET_BYTES)
        await tx.save_inbound_secret(
            workspace_id, self._sealer.seal(secret, owner=workspace_id, name=INBOUND_SEAL_NAME)
        )
        return secret

    async def _heal(self, tx: Transaction, workspace_id: WorkspaceId) -> InboundSecret:
        """Of two who miss it at once, the second finds what the first has made."""
        placement = _known(await tx.lock_placement(workspace_id))
        if found := self._open(placement):
            return InboundSecret(found, healed=False)
        secret = await self.issue(tx, workspace_id)
        log.info("inbound secret made", workspace=workspace_id)
        return InboundSecret(secret, healed=True)

    def _open(self, placement: Placement) -> str | None:
        """An empty secret is a missing one: nobody could present it."""
        if not placement.sealed_inbound_secret:
            return None
        return self._sealer.open(
            placement.sealed_inbound_secret, owner=placement.workspace_id, name=INBOUND_SEAL_NAME
        )


def _known(placement: Placement | None) -> Placement:
    if placement is None:
        raise WorkspaceUnknown
    return placement
