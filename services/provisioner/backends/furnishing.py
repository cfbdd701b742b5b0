"""The files that a first instance finds below /configs. Agents write there too: no link that they left is followed."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from services.provisioner.errors import StartFailed
from services.provisioner.model import Files

CONFIG = "config.yaml"
"""The file that says what an agent is: where it is, the rest is there too, because it is written last."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def fill(configs: Path, files: Files) -> None:
    """Put the files there, unless there is a config.yaml. What is there stays as it is.

    Raises `StartFailed` for a path that leads elsewhere, and `OSError` where nothing can be written.
    """
    for path, _ in files:
        _check(path)
    if not files or _exists(configs / CONFIG):
        return
    with _opened(os.open(configs, FOLDER)) as root:
        for path, text in sorted(files, key=lambda file: file[0] == CONFIG):
            _put(root, path, text)


def _check(path: str) -> None:
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise StartFailed


def _exists(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _put(root: int, path: str, text: str) -> None:
    """Write one file, whole or not at all, below a directory that is held open."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as stack:
        place = root
        for folder in folders:
            place = stack.enter_context(_opened(_entered(place, folder)))
        half = ".molecule-half"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(half, dir_fd=place)
        made = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=place)
        with os.fdopen(made, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        try:
            os.link(half, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
        except FileExistsError:
            return
        finally:
            os.unlink(half, dir_fd=place)


def _entered(place: int, folder: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700, dir_fd=place)
    return os.open(folder, FOLDER, dir_fd=place)


@contextlib.contextmanager
def _opened(place: int) -> Iterator[int]:
    try:
        yield place
    finally:
        os.close(place)
