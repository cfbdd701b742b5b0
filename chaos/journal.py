"""Writes and reads lines of JSON that survive the kill of the process that wrote them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Appends to one file; each record is handed to the operating system before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, record: dict[str, Any]) -> None:
        """Append one record, whole."""
        os.write(self._descriptor, json.dumps(record).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file, in their order; none if it does not exist."""
    if path.exists():
        with path.open() as lines:
            yield from map(json.loads, lines)
