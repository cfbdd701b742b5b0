"""Removes old audit records, so that the log keeps within its limits of age and number."""

from datetime import timedelta

from services.auth.audit_log import AuditLog
from services.auth.rules import audit_retention
from services.auth.store.transaction import Store
from services.chassis.clock import Clock

MAX_RECORDS_PER_REMOVAL = 5_000
"""Limit of the records that one transaction removes; meanwhile no other transaction can append."""


class AuditRetention:
    """Keeps the audit log within its limits."""

    def __init__(
        self, store: Store, audit_log: AuditLog, clock: Clock, *, age: timedelta | None, max_records: int
    ) -> None:
        """`age` is `None` if records are kept whatever their age."""
        self._store = store
        self._audit_log = audit_log
        self._clock = clock
        self._age = age
        self._max_records = max_records

    async def remove_surplus(self) -> None:
        """Remove the oldest records that are too old or too many, in batches; each leaves a signed checkpoint."""
        removed = MAX_RECORDS_PER_REMOVAL
        while removed == MAX_RECORDS_PER_REMOVAL:
            through = await self._choose_last_removed()
            removed = await self._audit_log.remove_oldest(through=through) if through else 0

    async def _choose_last_removed(self) -> int:
        before = self._clock.now() - self._age if self._age else None
        async with self._store.reading() as tx:
            extent = await tx.audit_log.get_extent(before=before, limit=MAX_RECORDS_PER_REMOVAL)
        if extent is None:
            return 0
        return audit_retention.choose_last_removed(
            extent, max_records=self._max_records, max_removed=MAX_RECORDS_PER_REMOVAL
        )
