"""Sets, lists, opens, deletes and reseals secrets.

A secret belongs to a workspace, or it is global: its `workspace_id` is `None`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import (
    GlobalSecretUnreadable,
    InvalidSecret,
    ResealRefused,
    SecretNotFound,
    SecretUnreadable,
    WorkspaceSecretUnreadable,
)
from services.auth.model.placements import Placement, WorkspaceId
from services.auth.model.vault import EnvironmentSecrets, ResealResult, SealedSecret, SecretMetadata, SecretValues
from services.auth.rules.placements import require_active
from services.auth.store.transaction import Store, Transaction
from services.auth.vault.inbound_secrets import INBOUND_SEAL_NAME
from services.auth.vault.sealing import Sealer
from services.chassis import variables
from services.chassis.clock import Clock
from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_SECRETS_PER_RESEAL = 100
"""Limit of the secrets, and of the inbound secrets, that one transaction reseals."""

GLOBAL_OWNER = "global"
"""The owner that global secrets are sealed with; no workspace has this id."""


class Vault:
    """The secrets of agents. Values are opened for the workspace itself and for the environment of its instance."""

    def __init__(self, store: Store, *, audit_log: AuditLog, sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._sealer = sealer
        self._clock = clock

    # Reading ──────────────────────────────────────────────────────────────────

    async def list_metadata(self, caller: Identity, workspace_id: WorkspaceId | None) -> Sequence[SecretMetadata]:
        """Return the secrets that apply to a workspace, or the global ones, without values."""
        async with self._store.begin() as tx:
            _check_org(caller, await _find_owner(tx, workspace_id))
            return await tx.vault.list_metadata(workspace_id)

    async def list_global_keys(self) -> Sequence[str]:
        """Return the keys of the global secrets."""
        async with self._store.begin() as tx:
            return [metadata.key for metadata in await tx.vault.list_metadata(None)]

    async def read_values(self, workspace_id: WorkspaceId) -> SecretValues:
        """Return the values that apply to a workspace, its own over global ones; no value if one cannot be opened."""
        async with self._store.begin() as tx:
            placement = require_active(await tx.placements.find(workspace_id))
            sealed = await _list_usable(tx, workspace_id)
            await self._append_record(tx, "secrets.read", placement, count=len(sealed))
        values = {secret.key: self._open(secret) for secret in sealed}
        failed_keys = tuple(_qualify_key(secret) for secret in sealed if values[secret.key] is None)
        if failed_keys:
            return SecretValues(values={}, failed_keys=failed_keys)
        return SecretValues(values={key: value for key, value in values.items() if value is not None})

    async def read_environment(self, workspace_id: WorkspaceId) -> EnvironmentSecrets:
        """Return the values for the environment of an instance.

        Raises `GlobalSecretUnreadable` or `WorkspaceSecretUnreadable` if one of them cannot be opened.
        """
        async with self._store.begin() as tx:
            require_active(await tx.placements.find(workspace_id))
            sealed = await _list_usable(tx, workspace_id)
        global_secrets: dict[str, str] = {}
        workspace_secrets: dict[str, str] = {}
        for secret in sealed:
            value = self._open(secret)
            if value is None:
                raise GlobalSecretUnreadable if secret.workspace_id is None else WorkspaceSecretUnreadable
            (global_secrets if secret.workspace_id is None else workspace_secrets)[secret.key] = value
        return EnvironmentSecrets(global_secrets=global_secrets, workspace_secrets=workspace_secrets)

    async def read_agent_credentials(self, workspace_id: WorkspaceId) -> Mapping[str, str]:
        """Return the credentials that the plane presents to the agent of a workspace, by the names of the secrets.

        They are secrets of the workspace itself, because any agent could name a global one. Those that do not open are
        left out.
        """
        async with self._store.begin() as tx:
            require_active(await tx.placements.find(workspace_id))
            sealed = await tx.vault.list_agent_credentials(workspace_id)
        values = {secret.key: self._open(secret) for secret in sealed}
        return {key: value for key, value in values.items() if value is not None}

    # Changing ─────────────────────────────────────────────────────────────────

    async def set(self, caller: Identity, workspace_id: WorkspaceId | None, key: str, value: str) -> None:
        """Set a secret and publish the change; raises `InvalidSecret`."""
        _require_valid(variables.find_variable_fault(key, value))
        async with self._begin_change(caller, workspace_id) as (tx, placement):
            await self._save(tx, workspace_id, key, value)
            _require_valid(variables.find_quota_fault(*await tx.vault.measure_usage(workspace_id)))
            await self._append_record(tx, "secret.set", placement, subject=key)
            await tx.vault.publish_change(workspace_id, key, now=self._clock.now())
        log.info("secret set", workspace=workspace_id, key=key)

    async def delete(self, caller: Identity, workspace_id: WorkspaceId | None, key: str) -> None:
        """Delete a secret and publish the change; raises `SecretNotFound`."""
        async with self._begin_change(caller, workspace_id) as (tx, placement):
            if not variables.VARIABLE_NAME.fullmatch(key) or not await tx.vault.delete(workspace_id, key):
                raise SecretNotFound
            await self._append_record(tx, "secret.deleted", placement, subject=key)
            await tx.vault.publish_change(workspace_id, key, now=self._clock.now())
        log.info("secret deleted", workspace=workspace_id, key=key)

    async def store_initial(self, workspace_id: WorkspaceId, values: Mapping[str, str]) -> None:
        """Store the secrets that a workspace is created with. It has no instance yet, so no change is published."""
        _require_valid(variables.find_first_fault(values))
        async with self._store.begin() as tx:
            placement = require_active(await tx.placements.lock(workspace_id))
            for key, value in sorted(values.items()):
                await self._save(tx, workspace_id, key, value)
            await self._append_record(tx, "secrets.stored", placement, count=len(values))
        log.info("secrets stored", workspace=workspace_id, count=len(values))

    # Resealing ────────────────────────────────────────────────────────────────

    async def reseal(self) -> ResealResult:
        """Seal secrets of older keys with the newest key; raises `ResealRefused`, and reseals none, if one fails."""
        newest_key = self._sealer.newest_key
        async with self._store.begin() as tx:
            secrets = await tx.vault.lock_stale(newest_key, limit=MAX_SECRETS_PER_RESEAL)
            for secret in secrets:
                owner, name = _seal_owner(secret.workspace_id), _seal_name(secret.key)
                sealed = self._reseal(secret.sealed, owner=owner, name=name)
                await tx.vault.save_resealed(secret.row_id, sealed, sealed_by=newest_key)
            inbound = await tx.vault.lock_stale_inbound(newest_key, limit=MAX_SECRETS_PER_RESEAL)
            for workspace_id, old_sealed in inbound:
                sealed = self._reseal(old_sealed, owner=workspace_id, name=INBOUND_SEAL_NAME)
                await tx.placements.save_inbound_secret(workspace_id, sealed)
            result = ResealResult(
                resealed=len(secrets) + len(inbound),
                remaining=await tx.vault.count_stale(newest_key),
                key_version=newest_key.version,
            )
            await self._append_record(tx, "vault.resealed", None, count=result.resealed, key_version=result.key_version)
        log.info(
            "secrets resealed", resealed=result.resealed, remaining=result.remaining, key_version=result.key_version
        )
        return result

    @asynccontextmanager
    async def _begin_change(
        self, caller: Identity, workspace_id: WorkspaceId | None
    ) -> AsyncIterator[tuple[Transaction, Placement | None]]:
        """Open a transaction that locks the secrets of the owner; yields it and the placement of the owner."""
        async with self._store.begin() as tx:
            placement = None
            if workspace_id is None:
                await tx.vault.lock_global()
            else:
                placement = require_active(await tx.placements.lock(workspace_id))
            _check_org(caller, placement)
            yield tx, placement

    async def _append_record(
        self, tx: Transaction, action: str, placement: Placement | None, *, subject: str = "", **details: object
    ) -> None:
        """Append an audit record. It contains keys of secrets and no values."""
        await self._audit_log.append(
            tx,
            action,
            workspace_id=placement.workspace_id if placement else "",
            org_id=placement.org_id if placement else "",
            subject=subject,
            **details,
        )

    async def _save(self, tx: Transaction, workspace_id: WorkspaceId | None, key: str, value: str) -> None:
        await tx.vault.save(
            workspace_id,
            key,
            self._sealer.seal(value, owner=_seal_owner(workspace_id), name=_seal_name(key)),
            size=len(value.encode()),
            sealed_by=self._sealer.newest_key,
            now=self._clock.now(),
        )

    def _open(self, secret: SealedSecret) -> str | None:
        """Return the value; `None`, and a log line for the operator, if it cannot be opened."""
        try:
            return self._sealer.open(secret.sealed, owner=_seal_owner(secret.workspace_id), name=_seal_name(secret.key))
        except SecretUnreadable as error:
            log.warning("secret unreadable", workspace=secret.workspace_id, key=secret.key, **error.details)
            return None

    def _reseal(self, sealed: str, *, owner: str, name: str) -> str:
        try:
            value = self._sealer.open(sealed, owner=owner, name=name)
        except SecretUnreadable as error:
            log.warning("reseal refused", owner=owner, name=name, **error.details)
            raise ResealRefused(details=error.details) from None
        return self._sealer.seal(value, owner=owner, name=name)


def _check_org(caller: Identity, placement: Placement | None) -> None:
    """Restrict organisation tokens to workspaces of their organisation. Global secrets belong to no organisation."""
    if caller.kind is Kind.ORG and (placement is None or placement.org_id != caller.org_id):
        raise PermissionDenied("org access denied")


async def _find_owner(tx: Transaction, workspace_id: WorkspaceId | None) -> Placement | None:
    return None if workspace_id is None else require_active(await tx.placements.find(workspace_id))


async def _list_usable(tx: Transaction, workspace_id: WorkspaceId) -> list[SealedSecret]:
    """Return the secrets that apply, without those that an earlier release stored under a name that is reserved now."""
    sealed = await tx.vault.list_sealed(workspace_id)
    for secret in sealed:
        if variables.is_reserved(secret.key):
            log.warning("secret withheld: its name is reserved", workspace=secret.workspace_id, key=secret.key)
    return [secret for secret in sealed if not variables.is_reserved(secret.key)]


def _require_valid(fault: str | None) -> None:
    if fault is not None:
        raise InvalidSecret(fault)


def _seal_owner(workspace_id: WorkspaceId | None) -> str:
    return GLOBAL_OWNER if workspace_id is None else workspace_id


def _seal_name(key: str) -> str:
    """Return the name that a secret is sealed with. The colon distinguishes it from `INBOUND_SEAL_NAME`."""
    return f"secret:{key}"


def _qualify_key(secret: SealedSecret) -> str:
    return f"{'global' if secret.workspace_id is None else 'workspace'}:{secret.key}"
