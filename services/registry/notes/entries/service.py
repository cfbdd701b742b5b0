"""♥ What agents keep by key."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis import pages
from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.notes.entries import rules as notes
from services.registry.notes.entries.rules import Draft, Entry
from services.registry.notes.errors import EntryNotFound, TooManyNotes
from services.registry.store.transaction import Store
from services.registry.workspace.model import WorkspaceId

BATCH = 500
"""Expired entries deleted at a time."""

PAGE_BYTES = 8 * 1024 * 1024
"""Of values in one answer: well within what a message may be."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the entries, and the token to go on with; empty on the last one."""

    entries: Sequence[Entry]
    next: str = ""


class Entries:
    """Keeps values under keys, each write against the version that its author knows."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def put(self, caller: Identity, workspace_id: WorkspaceId, draft: Draft) -> Entry:
        """Write a value; raises `VersionMismatch` where the key is at another version than expected."""
        notes.check(draft)
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            before = await tx.entries.find(workspace_id, draft.key)
            entry = notes.after(before, draft, self._clock.now())
            if before is None and await tx.entries.count(workspace_id) >= notes.MOST:
                raise TooManyNotes("keys", notes.MOST)
            await tx.entries.put(workspace_id, entry)
        return entry

    async def get(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> Entry:
        """What is under a key; raises `EntryNotFound`."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            entry = await tx.entries.find(workspace_id, key)
        if entry is None:
            raise EntryNotFound
        return entry

    async def list(self, caller: Identity, workspace_id: WorkspaceId, *, size: int, token: str) -> Page:
        """Entries by key; none of a workspace that is unknown or removed."""
        after = pages.decode_page_token(token, 1)[0] if token else ""
        async with self._store.begin() as tx:
            if await access.find_listable(tx, caller, workspace_id) is None:
                return Page(())
            found = await tx.entries.page(workspace_id, after=after, limit=min(size, PAGE_BYTES // notes.VALUE_BYTES))
            more = found and await tx.entries.page(workspace_id, after=found[-1].key, limit=1)
        return Page(found, pages.encode_page_token([found[-1].key]) if more else "")

    async def delete(self, caller: Identity, workspace_id: WorkspaceId, key: str) -> None:
        """Delete what is under a key, if anything is."""
        async with self._store.begin() as tx:
            await access.require_writable(tx, caller, workspace_id)
            await tx.entries.delete(workspace_id, key)

    async def expire(self) -> None:
        """Delete what has expired."""
        gone = BATCH
        while gone == BATCH:
            async with self._store.begin() as tx:
                gone = await tx.entries.forget_expired(limit=BATCH)
