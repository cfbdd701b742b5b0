"""Receives the files of one plugin and holds them until they are delivered.

A file is stored under a number, whatever its name is, so that no name of a plugin is ever a path of this machine.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from services.provisioner.model import FilePath
from services.provisioner.plugins import rules
from services.provisioner.plugins.errors import PluginRefused, PluginTooLarge
from services.provisioner.plugins.model import FileDigest, PluginLimits

CHUNK_BYTES = 256 * 1024

NAME_CONFLICT = "plugin contains a file name twice"


class Readable(Protocol):
    """A file that is open for reading."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class Stage:
    """The files of one plugin in a directory of this machine, within limits."""

    def __init__(self, directory: Path, limits: PluginLimits) -> None:
        self.directory = directory
        self.limits = limits
        self._files: dict[FilePath, FileDigest] = {}
        self._numbers: dict[FilePath, int] = {}
        self._directories: set[FilePath] = set()
        self._bytes = 0

    def add_file(self, path: str, content: Readable) -> None:
        """Store a file; raises `PluginTooLarge` at a limit, and `PluginRefused` for a name that is not allowed."""
        names = rules.parse_member(path)
        above = {names[:level] for level in range(1, len(names))}
        if names in self._files or names in self._directories or above & self._files.keys():
            raise PluginRefused(NAME_CONFLICT)
        if len(self._files) >= self.limits.max_files:
            raise PluginTooLarge(max_files=self.limits.max_files)
        digest = hashlib.sha256()
        self._numbers[names] = len(self._numbers)
        with self._find_file(names).open("xb") as file:
            for chunk in self._read_within_limit(content):
                digest.update(chunk)
                file.write(chunk)
        self._files[names] = FileDigest(names, digest.hexdigest())
        self._directories |= above

    @property
    def paths(self) -> Sequence[FilePath]:
        """The paths of the files, sorted."""
        return sorted(self._files)

    def compute_digest(self) -> str:
        """Return the digest of the plugin."""
        return rules.compute_digest(self._files.values())

    def read(self, path: FilePath) -> bytes:
        """Return the content of a file that was added."""
        return self._find_file(path).read_bytes()

    def find_size(self, path: FilePath) -> int:
        """Return the bytes of a file that was added."""
        return self._find_file(path).stat().st_size

    def _find_file(self, path: FilePath) -> Path:
        return self.directory / str(self._numbers[path])

    def _read_within_limit(self, content: Readable) -> Iterator[bytes]:
        while chunk := content.read(CHUNK_BYTES):
            self._bytes += len(chunk)
            if self._bytes > self.limits.max_bytes:
                raise PluginTooLarge(max_bytes=self.limits.max_bytes)
            yield chunk
