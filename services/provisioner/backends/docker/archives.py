"""Builds and reads the tar archives through which the engine writes and reads files of containers."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700

BLOCK = 512
"""The size of a header in an archive."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an archive, by its path relative to the directory that the archive is unpacked in."""

    path: str
    text: str = field(repr=False)


def pack_files(files: Iterable[File], *, user_id: int) -> bytes:
    """Return an archive of files that only one user can read. Their directories are included."""
    buffer = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            _add_parents(archive, file.path, made, user_id=user_id)
            content = file.text.encode()
            entry = _build_entry(file.path, PRIVATE_FILE, user_id=user_id)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def pack_directories(paths: Iterable[str], *, user_id: int) -> bytes:
    """Return an archive of directories that only one user can enter."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in paths:
            archive.addfile(_build_directory(path.strip("/"), user_id=user_id))
    return buffer.getvalue()


def read_owner(start: bytes) -> int | None:
    """Return the user id of the first entry of an archive; `None` if its beginning is no header."""
    try:
        return tarfile.TarInfo.frombuf(start[:BLOCK], "utf-8", "surrogateescape").uid
    except tarfile.HeaderError:
        return None


def is_unreadable_by(start: bytes, user_id: int) -> bool:
    """Whether the first entry belongs to another user alone: a file whose extraction ended on a full disk is root's."""
    try:
        entry = tarfile.TarInfo.frombuf(start[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return entry.uid != user_id and not entry.mode & 0o077


def read_text(archive: bytes) -> str | None:
    """Return the text of the only file of an archive; `None` if it is no regular file, or no text."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            entry = opened.next()
            content = opened.extractfile(entry) if entry and entry.isreg() else None
            return cast("io.BufferedReader", content).read().decode() if content else None
    except (tarfile.TarError, UnicodeDecodeError):
        return None


def _add_parents(archive: tarfile.TarFile, path: str, made: set[str], *, user_id: int) -> None:
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        if parent not in made:
            made.add(parent)
            archive.addfile(_build_directory(parent, user_id=user_id))


def _build_directory(path: str, *, user_id: int) -> tarfile.TarInfo:
    entry = _build_entry(path, PRIVATE_DIRECTORY, user_id=user_id)
    entry.type = tarfile.DIRTYPE
    return entry


def _build_entry(path: str, mode: int, *, user_id: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.uid, entry.gid = mode, user_id, user_id
    return entry
