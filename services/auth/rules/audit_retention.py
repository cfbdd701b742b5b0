"""Decides which of the oldest audit records are removed."""

from services.auth.model.audit_log import ChainExtent


def choose_last_removed(extent: ChainExtent, *, max_records: int, max_removed: int) -> int:
    """Return the position up to which records are removed now; 0 if none is.

    Those are the records besides the `max_records` newest ones, and the old ones before the first young one; at most
    `max_removed` of them. The newest record stays.
    """
    surplus = extent.last - max_records
    old = extent.first_young - 1
    through = min(max(surplus, old), extent.first + max_removed - 1, extent.last - 1)
    return through if through >= extent.first else 0
