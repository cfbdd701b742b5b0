"""Appends to the audit log, lists it and verifies it."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog

from services.auth.model.audit_log import AuditRecord, ChainedRecord, CheckResult, Verdict, VerificationReport
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
        """Verify the records after a position, up to a limit.

        This does not detect that the end of the log was removed; a caller detects it by the digest of the last record.
        """
        async with self._store.reading() as tx:
            previous = await tx.audit_log.find(after)
            records = await tx.audit_log.list_after(after, limit=MAX_RECORDS_PER_VERIFICATION)
        if after and previous is None:
            missing = CheckResult(verdict=Verdict.BROKEN, position=after, digest=hash_chain.GENESIS_DIGEST)
            return VerificationReport(missing, complete=True)
        result = hash_chain.verify_chain(records, previous=previous, key=self._key)
        if result.verdict is Verdict.BROKEN:
            log.error("audit chain broken", position=result.position)
        is_last = len(records) < MAX_RECORDS_PER_VERIFICATION
        return VerificationReport(result, complete=is_last or result.verdict is not Verdict.INTACT)

    async def _append(self, tx: Transaction, records: Sequence[AuditRecord]) -> None:
        last = await tx.audit_log.lock_last()
        chained = []
        for record in records:
            last = hash_chain.link_record(record, previous=last, key=self._key)
            chained.append(last)
        await tx.audit_log.append(chained)
