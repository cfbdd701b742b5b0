"""The files that an instance finds below /configs. Agents write there too: no link that they left is followed."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from services.provisioner.errors import StartFailed
from services.provisioner.model import Files

CONFIG = "config.yaml"
"""The file that says what an agent is: where it is, the rest is there too, because it is written last."""

KIT = ".molecule-kit"
"""The file with the name of what was put there last; it is written after the rest."""

KIT_BYTES = 64
"""Of the name of a kit: a digest in hex."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def fill(configs: Path, files: Files, *, kit: str) -> None:
    """Put the files of a kit there, unless there is a config.yaml. What is there stays as it is.

    Files of another kit than was put there last are put over what is there, and what has other names stays. Raises
    `StartFailed` for a path that leads elsewhere, and `OSError` where nothing can be written.
    """
    for path, _ in files:
        _check(path)
    with _opened(os.open(configs, FOLDER)) as root:
        last = _kit(root)
        changed = last not in {None, kit}
        if changed or not _exists(configs / CONFIG):
            for path, text in sorted(files, key=lambda file: file[0] == CONFIG):
                _put(root, path, text, over=changed)
        if last != kit:
            _put(root, KIT, kit, over=True)


def _check(path: str) -> None:
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise StartFailed


def _exists(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _kit(root: int) -> str | None:
    """What was put there last; `None` where nothing ever was, or where an agent has put something else."""
    try:
        file = os.open(KIT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=root)
    except OSError:
        return None
    with _opened(file):
        try:
            return os.read(file, KIT_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            return None


def _put(root: int, path: str, text: str, *, over: bool) -> None:
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
            if over:
                os.rename(half, name, src_dir_fd=place, dst_dir_fd=place)
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(half, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
        finally:
            with contextlib.suppress(FileNotFoundError):
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
