"""The heart of secrets: setting, listing, opening them, and sealing them anew.

A secret belongs to a workspace or, with `None` in its place, to all of them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from services.auth.audit import AuditLog
from services.auth.errors import (
    GlobalSecretUnreadable,
    InvalidSecret,
    ResealRefused,
    SecretNotFound,
    SecretUnreadable,
    WorkspaceBarred,
    WorkspaceSecretUnreadable,
    WorkspaceUnknown,
)
from services.auth.inbound import INBOUND_SEAL_NAME as INBOUND
from services.auth.model import (
    EnvironmentSecrets,
    Placement,
    ResealResult,
    SealedSecret,
    SecretMetadata,
    SecretValues,
    WorkspaceId,
)
from services.auth.sealing import Sealer
from services.auth.store.vault import VaultStore, VaultTransaction
from services.chassis import variables
from services.chassis.clock import Clock
from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_SECRETS_PER_RESEAL = 100
"""Secrets of each kind that are sealed anew in one transaction."""

GLOBAL_OWNER = "global"
"""As whose a global secret is sealed: no id of a workspace."""


class Vault:
    """What agents need to know. Values are opened for the workspace itself and for the environment of its instance."""

    def __init__(self, store: VaultStore, *, audit: AuditLog, sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._sealer = sealer
        self._clock = clock

    # What is there ────────────────────────────────────────────────────────────

    async def labels(self, caller: Identity, workspace_id: WorkspaceId | None) -> Sequence[SecretMetadata]:
        """What may be told of the secrets that apply to a workspace, or of the global ones alone."""
        async with self._store.begin() as tx:
            _admit(caller, await _placed(tx, workspace_id))
            return await tx.labels(workspace_id)

    async def global_keys(self) -> Sequence[str]:
        """The names of the global secrets."""
        async with self._store.begin() as tx:
            return [label.key for label in await tx.labels(None)]

    async def tell(self, workspace_id: WorkspaceId) -> SecretValues:
        """The values that apply to a workspace, its own over the global ones; none where one cannot be opened."""
        async with self._store.begin() as tx:
            placement = _standing(await tx.keys.find_placement(workspace_id))
            kept = await tx.applying(workspace_id)
            await self._note(tx, "secrets.read", placement, count=len(kept))
        opened = {secret.key: self._open(secret) for secret in kept}
        failed = tuple(_full_name(secret) for secret in kept if opened[secret.key] is None)
        if failed:
            return SecretValues(values={}, failed=failed)
        return SecretValues(values={key: value for key, value in opened.items() if value is not None})

    async def open(self, workspace_id: WorkspaceId) -> EnvironmentSecrets:
        """The values for the environment of an instance; raises where one of them cannot be opened."""
        async with self._store.begin() as tx:
            _standing(await tx.keys.find_placement(workspace_id))
            kept = await tx.applying(workspace_id)
        of_all: dict[str, str] = {}
        own: dict[str, str] = {}
        for secret in kept:
            value = self._open(secret)
            if value is None:
                raise GlobalSecretUnreadable if secret.workspace_id is None else WorkspaceSecretUnreadable
            (of_all if secret.workspace_id is None else own)[secret.key] = value
        return EnvironmentSecrets(global_secrets=of_all, workspace_secrets=own)

    # Changing it ──────────────────────────────────────────────────────────────

    async def set(self, caller: Identity, workspace_id: WorkspaceId | None, key: str, value: str) -> None:
        """Keep a secret in place of what was there; raises `InvalidSecret`. Whoever it applies to learns it."""
        _check(variables.find_variable_fault(key, value))
        async with self._changing(caller, workspace_id) as (tx, placement):
            await self._put(tx, workspace_id, key, value)
            _check(variables.find_quota_fault(*await tx.weight(workspace_id)))
            await self._note(tx, "secret.set", placement, subject=key)
            await tx.tell(workspace_id, key, now=self._clock.now())
        log.info("secret set", workspace=workspace_id, key=key)

    async def erase(self, caller: Identity, workspace_id: WorkspaceId | None, key: str) -> None:
        """Erase a secret; raises `SecretNotFound`."""
        async with self._changing(caller, workspace_id) as (tx, placement):
            if not variables.VARIABLE_NAME.fullmatch(key) or not await tx.erase(workspace_id, key):
                raise SecretNotFound
            await self._note(tx, "secret.deleted", placement, subject=key)
            await tx.tell(workspace_id, key, now=self._clock.now())
        log.info("secret erased", workspace=workspace_id, key=key)

    async def keep(self, workspace_id: WorkspaceId, values: Mapping[str, str]) -> None:
        """Keep what a workspace is created with. Nobody has an instance of it yet, so nobody is told."""
        _check(variables.find_first_fault(values))
        async with self._store.begin() as tx:
            placement = _standing(await tx.keys.lock_placement(workspace_id))
            for key, value in sorted(values.items()):
                await self._put(tx, workspace_id, key, value)
            await self._note(tx, "secrets.stored", placement, count=len(values))
        log.info("secrets kept", workspace=workspace_id, count=len(values))

    # Keys change ──────────────────────────────────────────────────────────────

    async def reseal(self) -> ResealResult:
        """Seal some secrets anew with the newest key; all of the batch, or none where one cannot be opened."""
        newest = self._sealer.newest
        async with self._store.begin() as tx:
            secrets = await tx.lock_stale(newest, at_most=MAX_SECRETS_PER_RESEAL)
            for secret in secrets:
                value = self._opened_anew(secret.text, owner=_owner(secret.workspace_id), name=_name(secret.key))
                sealed = self._seal(value, secret.workspace_id, secret.key)
                await tx.reseal(secret.row, sealed, sealed_by=newest)
            inbound = await tx.lock_stale_inbound(newest, at_most=MAX_SECRETS_PER_RESEAL)
            for workspace_id, text in inbound:
                value = self._opened_anew(text, owner=workspace_id, name=INBOUND)
                sealed = self._sealer.seal(value, owner=workspace_id, name=INBOUND)
                await tx.keys.save_inbound_secret(workspace_id, sealed)
            done = ResealResult(
                resealed=len(secrets) + len(inbound), remaining=await tx.stale(newest), key_version=newest.version
            )
            await self._note(tx, "vault.resealed", None, count=done.resealed, key_version=done.key_version)
        log.info("secrets resealed", resealed=done.resealed, remaining=done.remaining, key_version=done.key_version)
        return done

    @asynccontextmanager
    async def _changing(
        self, caller: Identity, workspace_id: WorkspaceId | None
    ) -> AsyncIterator[tuple[VaultTransaction, Placement | None]]:
        """A transaction in which nobody else changes the secrets of this owner, and where the owner lives."""
        async with self._store.begin() as tx:
            placement = None
            if workspace_id is None:
                await tx.lock_global()
            else:
                placement = _standing(await tx.keys.lock_placement(workspace_id))
            _admit(caller, placement)
            yield tx, placement

    async def _note(
        self, tx: VaultTransaction, action: str, placement: Placement | None, *, subject: str = "", **details: object
    ) -> None:
        """Put into the audit what is done here: names, never values."""
        await self._audit.note(
            tx.keys,
            action,
            workspace_id=placement.workspace_id if placement else "",
            org_id=placement.org_id if placement else "",
            subject=subject,
            **details,
        )

    async def _put(self, tx: VaultTransaction, workspace_id: WorkspaceId | None, key: str, value: str) -> None:
        await tx.put(
            workspace_id,
            key,
            self._seal(value, workspace_id, key),
            size=len(value.encode()),
            sealed_by=self._sealer.newest,
            now=self._clock.now(),
        )

    def _seal(self, value: str, workspace_id: WorkspaceId | None, key: str) -> str:
        return self._sealer.seal(value, owner=_owner(workspace_id), name=_name(key))

    def _open(self, secret: SealedSecret) -> str | None:
        """The value; nothing where it cannot be opened, and a line for the operator that says which one that is."""
        try:
            return self._sealer.open(secret.text, owner=_owner(secret.workspace_id), name=_name(secret.key))
        except SecretUnreadable as error:
            log.warning("secret unreadable", workspace=secret.workspace_id, key=secret.key, **error.details)
            return None

    def _opened_anew(self, text: str, *, owner: str, name: str) -> str:
        try:
            return self._sealer.open(text, owner=owner, name=name)
        except SecretUnreadable as error:
            log.warning("reseal refused", owner=owner, name=name, **error.details)
            raise ResealRefused(details=error.details) from None


def _admit(caller: Identity, placement: Placement | None) -> None:
    """An organisation token ends at its organisation; global secrets, which live nowhere, are beyond it."""
    if caller.kind is Kind.ORG and (placement is None or placement.org_id != caller.org_id):
        raise PermissionDenied("org access denied")


async def _placed(tx: VaultTransaction, workspace_id: WorkspaceId | None) -> Placement | None:
    return None if workspace_id is None else _standing(await tx.keys.find_placement(workspace_id))


def _standing(placement: Placement | None) -> Placement:
    """The placement of a workspace that may have secrets."""
    if placement is None:
        raise WorkspaceUnknown
    if placement.barred_at is not None:
        raise WorkspaceBarred
    return placement


def _check(fault: str | None) -> None:
    if fault is not None:
        raise InvalidSecret(fault)


def _owner(workspace_id: WorkspaceId | None) -> str:
    return GLOBAL_OWNER if workspace_id is None else workspace_id


def _name(key: str) -> str:
    """What a secret is sealed as: with a colon, so that it is never mistaken for an inbound secret."""
    return f"secret:{key}"


def _full_name(secret: SealedSecret) -> str:
    return f"{'global' if secret.workspace_id is None else 'workspace'}:{secret.key}"
