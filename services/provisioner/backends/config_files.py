"""Writes the starter files below /configs. Agents write there, too, so no link is followed."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from services.provisioner.errors import StartFailed
from services.provisioner.model import Files

CONFIG_FILE = "config.yaml"
"""Written last. If it exists, the other files were written before it."""

DIGEST_FILE = ".molecule-kit"
"""Holds the digest of the files that were written last; it is written after all of them."""

MAX_DIGEST_BYTES = 64
"""The length of a digest in hex."""

TEMPORARY_FILE = ".molecule-half"
"""Holds a file while it is written. One that an interrupted start left behind is overwritten."""

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def write_config_files(configs: Path, files: Files, *, digest: str) -> None:
    """Write the files unless there is a config.yaml, and keep every existing file.

    If the last files written had another digest, the files overwrite existing ones; files with other names are kept.
    Raises `StartFailed` for a path outside the directory, and `OSError` if a file cannot be written.
    """
    for path, _ in files:
        check_path(path)
    with _close_after(os.open(configs, OPEN_DIRECTORY)) as root:
        last_digest = _read_digest(root)
        is_changed = last_digest not in {None, digest}
        if is_changed or not _is_regular_file(configs / CONFIG_FILE):
            for path, text in sorted(files, key=lambda file: file[0] == CONFIG_FILE):
                _write_file(root, path, text, overwrite=is_changed)
        if last_digest != digest:
            _write_file(root, DIGEST_FILE, digest, overwrite=True)


def check_path(path: str) -> None:
    """Raise `StartFailed` for the path of a starter file that may lead out of the directory."""
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise StartFailed


def _is_regular_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _read_digest(root: int) -> str | None:
    """Return the digest of the files that were written last; `None` if the file is missing or was replaced."""
    try:
        file = os.open(DIGEST_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=root)
    except OSError:
        return None
    with _close_after(file):
        try:
            return os.read(file, MAX_DIGEST_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            return None


def _write_file(root: int, path: str, text: str, *, overwrite: bool) -> None:
    """Write one file completely or not at all, relative to an open directory."""
    *parents, name = path.split("/")
    with contextlib.ExitStack() as stack:
        directory = root
        for parent in parents:
            directory = stack.enter_context(_close_after(_create_and_open_directory(directory, parent)))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(TEMPORARY_FILE, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        temporary = os.open(TEMPORARY_FILE, flags, 0o600, dir_fd=directory)
        with os.fdopen(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        try:
            if overwrite:
                os.rename(TEMPORARY_FILE, name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(TEMPORARY_FILE, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(TEMPORARY_FILE, dir_fd=directory)


def _create_and_open_directory(parent: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, OPEN_DIRECTORY, dir_fd=parent)


@contextlib.contextmanager
def _close_after(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
