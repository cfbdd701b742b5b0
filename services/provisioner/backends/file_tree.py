"""Reads and writes files below a directory where an agent writes, too.

Every path is walked by open directories, one name at a time. No link is followed, so whatever an agent replaces
meanwhile, nothing outside the directory is read or written. Only regular files are opened.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.provisioner.errors import FileMissing, FileTooLarge, InvalidPath
from services.provisioner.file_rules import MAX_BYTES, MAX_ENTRIES, is_nameable
from services.provisioner.model import FileEntry, FilePath

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

TEMPORARY_PREFIX = ".molecule-half-"
"""Begins the name of a file while it is written. `file_rules` hides such names."""

MAX_SCANNED = 20_000
"""Names that one list looks at, whatever an agent has made."""

MISSING_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})
"""Errors of opening a path that leads to no file."""

PERMISSION_BITS = 0o777


def list_entries(root: Path, directory: FilePath, depth: int) -> list[FileEntry]:
    """Return the files and directories up to `depth` levels below a directory, by path.

    What is neither, what no caller may name, and what exceeds MAX_ENTRIES or MAX_SCANNED is left out. Raises
    `FileMissing` if there is no such directory.
    """
    found: list[tuple[FilePath, FileEntry]] = []
    scanned = 0
    waiting = deque([directory])
    while waiting and scanned < MAX_SCANNED and len(found) < MAX_ENTRIES:
        above = waiting.popleft()
        try:
            for name, details in _scan(root, above, MAX_SCANNED - scanned):
                scanned += 1
                path = (*above, name)
                if details is None:
                    continue
                is_directory = stat.S_ISDIR(details.st_mode)
                size = 0 if is_directory else details.st_size
                found.append((path, FileEntry(path="/".join(path), size=size, is_directory=is_directory)))
                if is_directory and len(path) < len(directory) + depth:
                    waiting.append(path)
        except FileMissing:
            if above == directory:
                raise
    return [entry for _, entry in sorted(found[:MAX_ENTRIES], key=lambda pair: pair[0])]


def read(root: Path, path: FilePath, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; raises `FileMissing` or `FileTooLarge`."""
    with _open_parent(root, path) as (parent, name), _translate_missing():
        if not _is_regular(os.stat(name, dir_fd=parent, follow_symlinks=False)):
            raise FileMissing
        with _closing(os.open(name, OPEN_FILE, dir_fd=parent)) as file:
            if not _is_regular(os.fstat(file)):
                raise FileMissing
            content = _read_up_to(file, max_bytes + 1)
    if len(content) > max_bytes:
        raise FileTooLarge(max_bytes)
    return content


def write(root: Path, files: Mapping[FilePath, str]) -> None:
    """Write files, each completely or not at all, and the directories above them.

    A link with the name of a file is replaced, not followed. Raises `InvalidPath` where something above a file is no
    directory, and other `OSError`s.
    """
    for path, content in files.items():
        with _create_parent(root, path) as (parent, name):
            _write_file(parent, name, content.encode())


def delete(root: Path, path: FilePath) -> None:
    """Delete a file, or a link; raises `FileMissing` for a directory and where there is nothing."""
    with _open_parent(root, path) as (parent, name), _translate_missing():
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise FileMissing
        os.unlink(name, dir_fd=parent)


def _scan(root: Path, directory: FilePath, limit: int) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield each name of a directory, and what it is; `None` for what is not shown."""
    with _open_directory(root, directory) as opened, os.scandir(opened) as entries:
        for count, entry in enumerate(entries):
            if count >= limit:
                return
            details = None
            if is_nameable(entry.name):
                with contextlib.suppress(OSError):  # it is gone meanwhile
                    details = os.stat(entry.name, dir_fd=opened, follow_symlinks=False)
            is_shown = details is not None and (_is_regular(details) or stat.S_ISDIR(details.st_mode))
            yield entry.name, details if is_shown else None


@contextlib.contextmanager
def _open_directory(root: Path, path: FilePath) -> Iterator[int]:
    """Open a directory; raises `FileMissing` if there is none."""
    with contextlib.ExitStack() as stack:
        with _translate_missing():
            opened = stack.enter_context(_closing(os.open(root, OPEN_DIRECTORY)))
            for name in path:
                opened = stack.enter_context(_closing(os.open(name, OPEN_DIRECTORY, dir_fd=opened)))
        yield opened


@contextlib.contextmanager
def _open_parent(root: Path, path: FilePath) -> Iterator[tuple[int, str]]:
    """Open the directory of a file; yield it and the name of the file."""
    *above, name = path
    with _open_directory(root, tuple(above)) as parent:
        yield parent, name


@contextlib.contextmanager
def _create_parent(root: Path, path: FilePath) -> Iterator[tuple[int, str]]:
    """Open the directory of a file, with the directories that are missing; raises `InvalidPath`."""
    *above, name = path
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(_closing(os.open(root, OPEN_DIRECTORY)))
        for directory in above:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700, dir_fd=opened)
            try:
                descriptor = os.open(directory, OPEN_DIRECTORY, dir_fd=opened)
            except OSError as error:
                if error.errno in MISSING_ERRNOS:
                    raise InvalidPath from error
                raise
            opened = stack.enter_context(_closing(descriptor))
        yield opened, name


def _write_file(parent: int, name: str, content: bytes) -> None:
    mode = 0o600
    with contextlib.suppress(FileNotFoundError):
        present = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(present.st_mode):
            raise InvalidPath
        mode = present.st_mode & PERMISSION_BITS if _is_regular(present) else mode
    temporary = TEMPORARY_PREFIX + secrets.token_hex(8)
    file = os.open(temporary, CREATE_FILE, 0o600, dir_fd=parent)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            os.fchmod(opened.fileno(), mode)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _read_up_to(file: int, limit: int) -> bytes:
    """Return the content, at most so many bytes of it."""
    pieces: list[bytes] = []
    while limit > 0 and (piece := os.read(file, min(limit, 1024 * 1024))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def _is_regular(details: os.stat_result) -> bool:
    return stat.S_ISREG(details.st_mode)


@contextlib.contextmanager
def _translate_missing() -> Iterator[None]:
    """Turn errors that mean that there is no such file into `FileMissing`."""
    try:
        yield
    except OSError as error:
        if error.errno in MISSING_ERRNOS:
            raise FileMissing from error
        raise


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
