"""
Remembers in a file which messages this agent has started, and the answers that the plane does not have yet.

A message is in the journal before it reaches the adapter, and its answer before it is sent to the plane. So a message
runs once, whatever ends the process in between.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from molecule_agent.inbox.messages import Answer, Item

FILE_NAME = ".inbox.sqlite3"

LOCK_NAME = ".inbox.lock"

MAX_ENDED_MESSAGES = 1000
"""Ended messages that are remembered; older ones are forgotten."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Bytes of the answers of ended messages that are remembered."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    receipt TEXT NOT NULL,
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    answer TEXT NOT NULL DEFAULT ''
)
"""

_PRUNE = """
DELETE FROM messages WHERE number IN (
    SELECT number FROM (
        SELECT number,
            row_number() OVER newest AS position,
            sum(length(answer)) OVER newest AS bytes
        FROM messages WHERE state = 'ended' WINDOW newest AS (ORDER BY number DESC)
    ) WHERE position > ? OR (bytes > ? AND position > 1)
)
"""


class JournalError(Exception):
    """The journal cannot be used; the text says why."""


class State(StrEnum):
    """How far a message is."""

    STARTED = "started"
    """The adapter may have received it."""
    ANSWERED = "answered"
    """Its answer is stored, and the plane may not have it."""
    ENDED = "ended"
    """The plane has the answer, or does not want it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message of the journal."""

    item: Item
    """With the newest receipt. The request of a message that is answered is not kept."""
    state: State
    answer: Answer | None = None


class Journal:
    """The messages of one agent. Its methods block while the disk stores a row, and raise JournalError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def open(cls, directory: Path) -> Iterator[Self]:
        """Open the journal in a directory, for this process alone. Raises JournalError."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot use {directory}: {error.strerror}") from error
        try:
            _lock(lock, directory)
            connection = _connect(directory / FILE_NAME)
            try:
                yield cls(connection)
            finally:
                connection.close()
        finally:
            os.close(lock)

    def find(self, id_: str) -> Entry | None:
        """Return the entry of a message."""
        row = self._connection.execute("SELECT * FROM messages WHERE id = ?", (id_,)).fetchone()
        return None if row is None else _read_entry(row)

    def list_open(self) -> list[Entry]:
        """Return the messages that have not ended, the oldest first."""
        rows = self._connection.execute("SELECT * FROM messages WHERE state <> 'ended' ORDER BY number").fetchall()
        return [_read_entry(row) for row in rows]

    def start(self, item: Item) -> None:
        """Record that the adapter is about to receive a message."""
        self._write(
            "INSERT INTO messages (id, receipt, state, request) VALUES (?, ?, 'started', ?)"
            " ON CONFLICT (id) DO UPDATE SET receipt = excluded.receipt",
            (item.id, item.receipt, json.dumps(item.request)),
        )

    def renew(self, id_: str, receipt: str) -> None:
        """Record the receipt of another lease."""
        self._write("UPDATE messages SET receipt = ? WHERE id = ?", (receipt, id_))

    def answer(self, id_: str, answer: Answer) -> None:
        """Record the answer of a message, before the plane receives it."""
        self._write(
            "UPDATE messages SET state = 'answered', answer = ?, request = '{}' WHERE id = ?",
            (json.dumps(answer.to_dict()), id_),
        )

    def end(self, id_: str) -> None:
        """Record that the plane needs nothing more about a message."""
        self._write("UPDATE messages SET state = 'ended', request = '{}' WHERE id = ?", (id_,))
        self._write(_PRUNE, (MAX_ENDED_MESSAGES, MAX_ANSWER_BYTES))

    def forget(self, id_: str) -> None:
        """Forget a message, which runs as a new one if it is offered again."""
        self._write("DELETE FROM messages WHERE id = ?", (id_,))

    def _write(self, statement: str, values: tuple[str | int, ...]) -> None:
        try:
            with self._connection:
                self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise JournalError(f"cannot write {FILE_NAME}: {error}") from error


def _lock(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JournalError(f"another agent fetches messages with the files in {directory}") from None


def _connect(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute(_SCHEMA)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"cannot use {path}: {error}") from error
    return connection


def _read_entry(row: tuple[int, str, str, str, str, str]) -> Entry:
    _, id_, receipt, state, request, answer = row
    content = json.loads(answer) if answer else None
    return Entry(
        item=Item(id=id_, receipt=receipt, request=json.loads(request)),
        state=State(state),
        answer=None if content is None else Answer(result=content.get("result"), error=content.get("error")),
    )
