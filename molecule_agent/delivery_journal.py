"""Remembers in a file which messages the agent has begun and ended, so that a restart does not forget them."""

import contextlib
import logging
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILE_NAME = ".delivered-messages.sqlite3"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    task_id TEXT NOT NULL,
    context_id TEXT NOT NULL,
    task BLOB,
    UNIQUE (message_id, digest)
);
CREATE INDEX IF NOT EXISTS messages_by_task ON messages (task_id);
"""

MessageKey = tuple[str, bytes]
"""The id of a message and the digest of its content: different content under the same id is a different message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One message of an earlier process."""

    key: MessageKey
    task_id: str
    context_id: str
    task: bytes | None
    """The task at its end; None if the process ended before."""


class DeliveryJournal:
    """
    The journal of one workspace, below `root`/configs. Its user keeps it small by `forget`.

    A killed process loses nothing. The last entries may be lost when the machine stops, because waiting for the disk
    would slow every message. Without a usable file a restart forgets the messages; the log says so.
    """

    def __init__(self, root: Path) -> None:
        self._file = root / "configs" / FILE_NAME
        self._connection: sqlite3.Connection | None = None

    def open(self) -> list[JournalEntry]:
        """Open the file and return its entries, the oldest first. A damaged file is replaced."""
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged and replaced: %s", self._file, error)
            self.close()
            for suffix in ("", "-wal", "-shm"):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            log.warning("messages are not remembered over a restart: %s", error)
            return []
        try:
            return self._open()
        except (sqlite3.Error, OSError) as error:
            log.warning("messages are not remembered over a restart: %s", error)
            self.close()
            return []

    def begin(self, key: MessageKey, *, task_id: str, context_id: str) -> None:
        """Record that the message is about to reach the adapter."""
        self._execute(
            "INSERT OR REPLACE INTO messages (message_id, digest, task_id, context_id) VALUES (?, ?, ?, ?)",
            (*key, task_id, context_id),
        )

    def end(self, key: MessageKey, task: bytes) -> None:
        """Record the task that the message has become."""
        self._execute("UPDATE messages SET task = ? WHERE message_id = ? AND digest = ?", (task, *key))

    def forget(self, task_id: str) -> None:
        """Remove the messages of a task."""
        self._execute("DELETE FROM messages WHERE task_id = ?", (task_id,))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> list[JournalEntry]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        # A thread opens the connection; afterwards only the event loop uses it.
        self._connection = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False, timeout=2)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)
        rows = self._connection.execute(
            "SELECT message_id, digest, task_id, context_id, task FROM messages ORDER BY number"
        )
        return [
            JournalEntry(key=(message_id, digest), task_id=task_id, context_id=context_id, task=task)
            for message_id, digest, task_id, context_id, task in rows
        ]

    def _execute(self, statement: str, values: tuple[str | bytes, ...]) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            log.warning("messages are not remembered over a restart: %s", error)
            with contextlib.suppress(sqlite3.Error):
                self.close()
