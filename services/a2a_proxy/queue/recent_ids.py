"""Keeps the identities of accepted messages in memory, so that a message with a new id needs no database read."""

from collections.abc import Iterable
from datetime import timedelta

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.store.transaction import QueueStore

MAX_IDENTITIES = 200_000
"""Identities in memory; while more are known, the database is asked about each message."""

PAGE_ROWS = 10_000
"""Identities that are read at once."""

REBUILD_INTERVAL = timedelta(hours=1)
"""Time after which the identities are read anew, without those that were forgotten."""

HASH_BYTES = 8
"""Bytes of an identity that are kept. A collision costs one database read."""


class RecentIds:
    """The identities of accepted messages, of which a second one is not accepted again."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._hashes: set[int] = set()
        self._arriving: set[int] = set()
        """Identities that this replica has accepted since the last reading began."""
        self._last_seq = 0
        self._is_complete = False

    def may_contain(self, identity: bytes) -> bool:
        """Whether a message with this identity may have been accepted."""
        return not self._is_complete or _hash(identity) in self._hashes

    def add(self, identities: Iterable[bytes]) -> None:
        """Add the identities of messages that this replica has accepted."""
        hashes = set(map(_hash, identities))
        self._hashes |= hashes
        self._arriving |= hashes

    async def load(self) -> None:
        """Read all identities anew; raises `Unavailable`."""
        self._is_complete = False
        self._arriving.clear()
        hashes: set[int] = set()
        async with self._store.begin() as tx:
            known = await tx.count_identities(MAX_IDENTITIES + 1)
            last_seq = await tx.get_last_seq()
        if known <= MAX_IDENTITIES:
            after = 0
            while True:
                async with self._store.begin() as tx:
                    rows = await tx.list_identities(after=after, limit=PAGE_ROWS, known_only=True)
                hashes.update(_hash(identity) for _, _, identity in rows if identity)
                if len(rows) < PAGE_ROWS:
                    break
                after = rows[-1][0]
        self._hashes = hashes | self._arriving
        self._last_seq = last_seq
        self._is_complete = known <= MAX_IDENTITIES

    async def read_new(self) -> set[WorkspaceId]:
        """Read what any replica has accepted since the last call; returns the targets. Raises `Unavailable`."""
        targets: set[WorkspaceId] = set()
        while True:
            async with self._store.begin() as tx:
                rows = await tx.list_identities(after=self._last_seq, limit=PAGE_ROWS)
            self._hashes.update(_hash(identity) for _, _, identity in rows if identity)
            targets.update(target for _, target, _ in rows)
            if rows:
                self._last_seq = rows[-1][0]
            if len(rows) < PAGE_ROWS:
                break
        self._arriving.clear()  # only a reading anew, which begins with none, replaces the other set
        if len(self._hashes) > MAX_IDENTITIES:
            self._is_complete = False
            self._hashes.clear()
        return targets


def _hash(identity: bytes) -> int:
    return int.from_bytes(identity[:HASH_BYTES], "big")
