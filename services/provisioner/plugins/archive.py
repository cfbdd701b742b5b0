"""Unpacks a tar.gz archive of a source into a stage, one member after the other, without extracting to any path.

The archive comes from another host: the size of what it unpacks to is limited before it is read, whatever its headers
announce.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Self

from services.provisioner.plugins.errors import PluginRefused, PluginTooLarge
from services.provisioner.plugins.sources import SourceFailure, SourceMissing
from services.provisioner.plugins.stage import Stage

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of the further headers of a member, such as a long name. Tar files keep them in memory."""

ARCHIVE_FACTOR = 4
"""How many times larger than the plugin its whole archive may unpack to: a repository may hold other things, too."""


def unpack(file: IO[bytes], stage: Stage, directory: tuple[str, ...]) -> None:
    """Add the files below a directory of the archive to the stage. The archive has one directory at its top.

    Raises `SourceMissing` if the directory has no files, `SourceFailure` for anything but such an archive,
    `PluginTooLarge`, and `PluginRefused` for a link or a device below the directory.
    """
    is_empty = True
    with _translate_errors(), gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
        limited = _LimitedReader(unzipped, stage.limits.max_bytes * ARCHIVE_FACTOR, stage.limits.max_bytes)
        with tarfile.open(fileobj=limited, mode="r|", tarinfo=_BoundedMember) as archive:  # type: ignore[call-overload]
            for member in archive:
                names = _find_path(member.name, directory)
                if names is None or (member.isdir() and not member.issparse()):
                    continue
                content = archive.extractfile(member) if _is_plain_file(member) else None
                if content is None:
                    raise PluginRefused("plugin contains a link or a special file")
                stage.add_file("/".join(names), content)
                is_empty = False
    if is_empty:
        raise SourceMissing("the archive has no files there")


class _BoundedMember(tarfile.TarInfo):
    """A member whose further headers are limited in size."""

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        """Process a header; tarfile calls this method, which is meant to be overridden, for each."""
        if self.type not in tarfile.REGULAR_TYPES and self.size > MAX_HEADER_BYTES:
            raise SourceFailure("the archive has a header that is too large")
        processed: Self = super()._proc_member(archive)  # type: ignore[misc]
        return processed


class _LimitedReader:
    """Reads an unzipped archive up to a limit, and raises `PluginTooLarge` beyond it."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, max_archive_bytes: int, max_bytes: int) -> None:
        self._file = file
        self._left = max_archive_bytes
        self._max_bytes = max_bytes

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise PluginTooLarge(max_bytes=self._max_bytes)
        return content


def _find_path(name: str, directory: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the path below a directory of the archive; `None` for a member outside. The first name is left out."""
    names = tuple(name.split("/"))[1:] if not name.startswith("/") else PurePosixPath(name).parts
    is_below = names[: len(directory)] == directory and len(names) > len(directory)
    return names[len(directory) :] if is_below else None


def _is_plain_file(member: tarfile.TarInfo) -> bool:
    return member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not member.issparse()


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise `SourceFailure` for bytes that are no such archive."""
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, UnicodeError, ValueError) as error:
        raise SourceFailure(f"the answer is no tar.gz archive: {error!r}") from error
