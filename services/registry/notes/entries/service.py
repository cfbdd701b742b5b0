"""♥ What agents keep by key."""

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
"""Expired entries deleted at a time."""

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Of values in one answer: well within what a message may be."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some of the entries, and the token to go on with; empty on the last one."""

    entries: Sequence[KeyValueEntry]
    next_page_token: str = ""


class Entries:
    """Keeps values under keys, each write against the version that its author knows."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, caller: Identity, workspace_id: WorkspaceId, draft: EntryDraft) -> KeyValueEntry:
        """Write a value; raises `VersionMismatch` where the key is at another version than expected."""
        rules.check_draft(draft)
        async with self._store.begin() as tx:
            await access.writes(tx, caller, workspace_id)
            before = await EntryStore(tx.connection, tx.now).find(workspace_id, draft.key)
            entry = rules.build_next_entry(before, draft, self._clock.now())
            if (
                before is None
                and await EntryStore(tx.connection, tx.now).count(workspace_id) >= rules.MAX_ENTRIES_PER_WORKSPACE
            ):
                raise TooManyNotes("keys", rules.MAX_ENTRIES_PER_WORKSPACE)
            await EntryStore(tx.connection, tx.now).put(workspace_id, entry)
        return entry

    async def get(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> KeyValueEntry:
        """What is under a key; raises `EntryNotFound`."""
        async with self._store.begin() as tx:
            await access.reached(tx, caller, workspace_id)
            entry = await EntryStore(tx.connection, tx.now).find(workspace_id, key)
        if entry is None:
            raise EntryNotFound
        return entry

    async def list(self, caller: Identity, workspace_id: WorkspaceId, *, size: int, token: str) -> EntryPage:
        """Entries by key; none of a workspace that is unknown or removed."""
        after = pages.decode_page_token(token, 1)[0] if token else ""
        async with self._store.begin() as tx:
            if await access.lists(tx, caller, workspace_id) is None:
                return EntryPage(())
            found = await EntryStore(tx.connection, tx.now).list_page(
                workspace_id, after=after, limit=min(size, MAX_PAGE_BYTES // rules.MAX_VALUE_BYTES)
            )
            more = found and await EntryStore(tx.connection, tx.now).list_page(
                workspace_id, after=found[-1].key, limit=1
            )
        return EntryPage(found, pages.encode_page_token([found[-1].key]) if more else "")

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> None:
        """Delete what is under a key, if anything is."""
        async with self._store.begin() as tx:
            await access.writes(tx, caller, workspace_id)
            await EntryStore(tx.connection, tx.now).delete(workspace_id, key)

    async def delete_expired(self) -> None:
        """Delete what has expired."""
        gone = EXPIRED_ENTRIES_PER_BATCH
        while gone == EXPIRED_ENTRIES_PER_BATCH:
            async with self._store.begin() as tx:
                gone = await EntryStore(tx.connection, tx.now).delete_expired(limit=EXPIRED_ENTRIES_PER_BATCH)
