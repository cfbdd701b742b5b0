"""Appends to the audit log, lists it and verifies it."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog

from services.auth.model.audit_log import (
    AuditRecord,
    ChainedRecord,
    CheckResult,
    Fault,
    Verdict,
    VerificationReport,
)
from services.auth.rules import hash_chain
from services.auth.rules.hash_chain import ChainKey
from services.auth.store.transaction import Store, Transaction
from services.chassis import identity
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_RECORDS_PER_VERIFICATION = 5_000
"""Limit of the records that one call verifies, which takes a fraction of a second."""


class AuditLog:
    """The log of actions on workspaces, tokens and secrets. An action and its record commit together."""

    def __init__(
        self, store: Store, *, clock: Clock, key: ChainKey, caller: Callable[[], Identity] = identity.current
    ) -> None:
        """`caller` returns the identity on whose behalf the current call runs."""
        self._store = store
        self._caller = caller
        self._clock = clock
        self._key = key
        self._has_key_start = False

    async def append(
        self,
        tx: Transaction,
        action: str,
        *,
        workspace_id: str = "",
        org_id: str = "",
        subject: str = "",
        **details: object,
    ) -> None:
        """Append what the caller of the current RPC does in `tx`. The details contain no secret and no token.

        Call this before `tx.revocations.publish` and `tx.vault.publish_change`.
        """
        record = AuditRecord(
            id=str(uuid4()),
            at=self._clock.now(),
            actor=self._caller().actor,
            action=action,
            workspace_id=workspace_id,
            org_id=org_id,
            subject=subject,
            details=hash_chain.serialize_details(details),
        )
        await self._append(tx, [record])

    async def append_once(self, records: Sequence[AuditRecord]) -> None:
        """Append the records of another service; those whose ids are known are skipped."""
        async with self._store.begin() as tx:
            await tx.audit_log.lock_last()
            known = await tx.audit_log.find_known_ids([record.id for record in records])
            await self._append(tx, [record for record in records if record.id not in known])

    async def list(
        self, caller: Identity, *, workspace_id: str, after: int | None, limit: int
    ) -> Sequence[ChainedRecord]:
        """Return records that the caller may see: the newest, or the oldest after a position.

        An empty `workspace_id` means all workspaces.
        """
        org_id = caller.org_id if caller.kind is Kind.ORG else ""
        async with self._store.reading() as tx:
            if after is None:
                return await tx.audit_log.list_newest(limit=limit, workspace_id=workspace_id, org_id=org_id)
            return await tx.audit_log.list_after(after, limit=limit, workspace_id=workspace_id, org_id=org_id)

    async def verify(self, *, after: int) -> VerificationReport:
        """Verify the records after a position, up to a limit; those that a checkpoint covers count as verified.

        That the end of the log was removed is detected only where a key came into force in it; else a caller detects it
        by the digest of the last record.
        """
        async with self._store.begin() as tx:
            starts, checkpoint = await tx.audit_log.list_key_starts(), await tx.audit_log.find_checkpoint()
            after = max(after, checkpoint.position) if checkpoint else after
            previous = checkpoint if checkpoint and after == checkpoint.position else await tx.audit_log.find(after)
            records = await tx.audit_log.list_after(after, limit=MAX_RECORDS_PER_VERIFICATION)
            last_position = await tx.audit_log.get_last_position()
        wrong = hash_chain.verify_key_starts(starts, last_position=last_position, key=self._key)
        if wrong is None and previous is not None and previous is checkpoint:
            wrong = hash_chain.verify_checkpoint(checkpoint, starts=starts, key=self._key)
        if wrong is None and after and previous is None:
            wrong = CheckResult(
                verdict=Verdict.BROKEN,
                position=after,
                digest=hash_chain.GENESIS_DIGEST,
                fault=Fault.RECORD_MISSING,
            )
        result = wrong or hash_chain.verify_chain(records, previous=previous, key=self._key, starts=starts)
        if result.verdict is Verdict.BROKEN:
            log.error("audit chain broken", position=result.position, fault=result.fault)
        is_last = len(records) < MAX_RECORDS_PER_VERIFICATION
        return VerificationReport(result, complete=is_last or result.verdict is not Verdict.INTACT)

    async def find_start_of_key(self) -> int | None:
        """Return the position from which on a key is in force; `None` if there never was a key."""
        async with self._store.reading() as tx:
            starts = await tx.audit_log.list_key_starts()
        return starts[-1].position if starts else None

    async def remove_oldest(self, *, through: int) -> int:
        """Remove the records up to a position, and leave a signed checkpoint; return how many were removed.

        The newest record stays. Nothing is removed if there is no record at the position.
        """
        async with self._store.begin() as tx:
            newest = await tx.audit_log.lock_last()
            last = await tx.audit_log.find(through)
            if newest is None or last is None or last.position >= newest.position:
                return 0
            removed = await tx.audit_log.remove_oldest(hash_chain.sign_checkpoint(last, self._key))
        log.info("audit records removed", through=through, count=removed)
        return removed

    async def _append(self, tx: Transaction, records: Sequence[AuditRecord]) -> None:
        last = await tx.audit_log.lock_last()
        if records and self._key.id and (last is None or last.key_id != self._key.id or not self._has_key_start):
            await self._record_key_start(tx, last)
        chained = []
        for record in records:
            last = hash_chain.link_record(record, previous=last, key=self._key)
            chained.append(last)
        await tx.audit_log.append(chained)

    async def _record_key_start(self, tx: Transaction, last: ChainedRecord | None) -> None:
        """Record from which position on the key is in force, unless it is the last one that came into force.

        A chain that the previous release linked with the key has no record of it: then it is that of the first link.
        """
        starts = await tx.audit_log.list_key_starts()
        if starts and starts[-1].key_id == self._key.id:
            self._has_key_start = True
            return
        next_position = last.position + 1 if last else 1
        first = None if starts else await tx.audit_log.find_first_position(self._key.id)
        start = hash_chain.sign_key_start(first or next_position, self._key)
        await tx.audit_log.add_key_start(start, now=self._clock.now())
