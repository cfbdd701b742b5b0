"""The audit ♥: who did what to which workspace, token or secret. What is done and that it was done commit together."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog

from services.auth import chain
from services.auth.chain import AuditRecord, ChainedRecord, ChainKey, CheckResult, Verdict, VerificationReport
from services.auth.store.keys import Store, Transaction
from services.chassis import identity
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_RECORDS_PER_VERIFICATION = 5_000
"""Links that one call follows: a fraction of a second of work."""


class AuditLog:
    """Adds to the chain, reads it, and follows it."""

    def __init__(
        self, store: Store, *, clock: Clock, key: ChainKey, caller: Callable[[], Identity] = identity.current
    ) -> None:
        """`caller` tells on whose behalf the present call runs."""
        self._store = store
        self._caller = caller
        self._clock = clock
        self._key = key

    async def note(
        self,
        tx: Transaction,
        action: str,
        *,
        workspace_id: str = "",
        org_id: str = "",
        subject: str = "",
        **details: object,
    ) -> None:
        """Add what the caller of this RPC does in `tx`; before `tx.announce`, and never with a value in it."""
        deed = AuditRecord(
            id=str(uuid4()),
            at=self._clock.now(),
            actor=self._caller().actor,
            action=action,
            workspace_id=workspace_id,
            org_id=org_id,
            subject=subject,
            details=chain.serialize_details(details),
        )
        await self._add(tx, [deed])

    async def record(self, deeds: Sequence[AuditRecord]) -> None:
        """Add what was done elsewhere, once."""
        async with self._store.begin() as tx:
            await tx.chain.last()
            known = await tx.chain.known([deed.id for deed in deeds])
            await self._add(tx, [deed for deed in deeds if deed.id not in known])

    async def list(
        self, caller: Identity, *, workspace_id: str, after: int | None, at_most: int
    ) -> Sequence[ChainedRecord]:
        """The newest deeds that the caller may see, or those after a place, the oldest first."""
        org_id = caller.org_id if caller.kind is Kind.ORG else ""
        async with self._store.reading() as tx:
            if after is None:
                return await tx.chain.newest(at_most=at_most, workspace_id=workspace_id, org_id=org_id)
            return await tx.chain.after(after, at_most=at_most, workspace_id=workspace_id, org_id=org_id)

    async def verify(self, *, after: int) -> VerificationReport:
        """Follow the chain for a stretch. That it was cut off at its end shows by its last link alone."""
        async with self._store.reading() as tx:
            before = await tx.chain.find(after)
            links = await tx.chain.after(after, at_most=MAX_RECORDS_PER_VERIFICATION)
        if after and before is None:
            return VerificationReport(
                CheckResult(verdict=Verdict.BROKEN, place=after, digest=chain.GENESIS_DIGEST), complete=True
            )
        finding = chain.verify_chain(links, after=before, key=self._key)
        if finding.verdict is Verdict.BROKEN:
            log.error("audit chain broken", place=finding.place)
        return VerificationReport(
            finding, complete=len(links) < MAX_RECORDS_PER_VERIFICATION or finding.verdict is not Verdict.INTACT
        )

    async def _add(self, tx: Transaction, deeds: Sequence[AuditRecord]) -> None:
        last = await tx.chain.last()
        links = []
        for deed in deeds:
            last = chain.link_record(deed, after=last, key=self._key)
            links.append(last)
        await tx.chain.add(links)
