"""Stores values under keys. A caller may require the version that its write replaces."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import pages
from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.entries import rules
from services.registry.notes.entries.rules import EntryDraft, KeyValueEntry
from services.registry.notes.entries.store import EntryStore
from services.registry.notes.errors import EntryNotFound, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId

EXPIRED_ENTRIES_PER_BATCH = 500
"""Entries that one transaction of the sweep deletes."""

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of values in one page, so that it fits into one message between services."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some entries of a list, and the token of the next page; empty on the last page."""

    entries: Sequence[KeyValueEntry]
    next_page_token: str = ""


class Entries:
    """The entries of all workspaces."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, caller: Identity, workspace_id: WorkspaceId, draft: EntryDraft) -> KeyValueEntry:
        """Write a value; raises `VersionMismatch` if the key is at another version than the caller expects."""
        rules.check_draft(draft)
        async with self._store.begin() as tx:
            entries = EntryStore(tx.connection, tx.now)
            await access.require_writable(tx, caller, workspace_id)
            before = await entries.find(workspace_id, draft.key)
            entry = rules.build_next_entry(before, draft, self._clock.now())
            if before is None and await entries.count(workspace_id) >= rules.MAX_ENTRIES_PER_WORKSPACE:
                raise TooManyNotes("keys", rules.MAX_ENTRIES_PER_WORKSPACE)
            await entries.put(workspace_id, entry)
        return entry

    async def get(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> KeyValueEntry:
        """Return the entry under a key; raises `EntryNotFound`."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            entry = await EntryStore(tx.connection, tx.now).find(workspace_id, key)
        if entry is None:
            raise EntryNotFound
        return entry

    async def list(self, caller: Identity, workspace_id: WorkspaceId, *, size: int, token: str) -> EntryPage:
        """Return entries in the order of keys; none of an unknown or removed workspace."""
        after = pages.decode_page_token(token, 1)[0] if token else ""
        limit = min(size, MAX_PAGE_BYTES // rules.MAX_VALUE_BYTES)
        async with self._store.begin() as tx:
            entries = EntryStore(tx.connection, tx.now)
            if await access.find_listable(tx, caller, workspace_id) is None:
                return EntryPage(())
            found = await entries.list_page(workspace_id, after=after, limit=limit)
            more = found and await entries.list_page(workspace_id, after=found[-1].key, limit=1)
        return EntryPage(found, pages.encode_page_token([found[-1].key]) if more else "")

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> None:
        """Delete the entry under a key, if it exists."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            await EntryStore(tx.connection, tx.now).delete(workspace_id, key)

    async def delete_expired(self) -> None:
        """Delete the entries that have expired."""
        deleted = EXPIRED_ENTRIES_PER_BATCH
        while deleted == EXPIRED_ENTRIES_PER_BATCH:
            async with self._store.begin() as tx:
                entries = EntryStore(tx.connection, tx.now)
                deleted = await entries.delete_expired(limit=EXPIRED_ENTRIES_PER_BATCH)
