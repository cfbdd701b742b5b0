"""Stores the files of one upload in the workspace: all of them or none."""

import mimetypes
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from molecule_agent.file_paths import make_safe_name
from molecule_agent.workspace_files import open_directory

UPLOAD_DIRECTORY = ("workspace", ".molecule", "chat-uploads")

NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

MAX_MIME_CHARACTERS = 255


@dataclass(kw_only=True)
class StoredFile:
    """A file of an upload; `mime_type` is empty if it is not known."""

    file_id: str
    name: str
    mime_type: str
    size: int = 0

    @property
    def temporary_name(self) -> str:
        """The name that the file has until its upload is whole."""
        return f".{self.file_id}.part"

    @property
    def final_name(self) -> str:
        return f"{self.file_id}-{self.name}"

    def describe(self) -> dict[str, str | int]:
        """Return what the answer says of the file."""
        uri = "workspace:/" + "/".join((*UPLOAD_DIRECTORY, self.final_name))
        described: dict[str, str | int] = {"uri": uri, "name": self.name, "size": self.size}
        return described | {"mimeType": self.mime_type} if self.mime_type else described


class UploadStore:
    """The files of one upload. At the end of the block they are deleted, unless `commit` was called."""

    def __init__(self, root: Path) -> None:
        self.files: list[StoredFile] = []
        self._root = root
        self._stack = ExitStack()
        self._directory: int | None = None
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_file()
        if self._directory is not None:
            for file in self.files:
                with suppress(OSError):
                    os.unlink(file.temporary_name, dir_fd=self._directory)
        self._stack.close()

    def begin_file(self, name: str, mime_type: str) -> StoredFile:
        """Begin the next file, whose name and type the client has chosen. Raises `OSError`."""
        if self._directory is None:
            self._directory = self._stack.enter_context(open_directory(self._root, UPLOAD_DIRECTORY, create=True))
        safe_name = make_safe_name(name)
        file = StoredFile(file_id=uuid4().hex, name=safe_name, mime_type=_choose_mime_type(mime_type, safe_name))
        self._descriptor = os.open(file.temporary_name, NEW_FILE_FLAGS, 0o600, dir_fd=self._directory)
        self.files.append(file)
        return file

    def write(self, piece: bytes) -> None:
        """Append to the file that was begun last. Raises `OSError`."""
        if self._descriptor is None:
            raise ValueError("no file was begun")
        self.files[-1].size += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def end_file(self) -> None:
        """Close the file that was begun last."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def commit(self) -> None:
        """Give the files their final names. Raises `OSError`, after which none of them is there."""
        done: list[StoredFile] = []
        try:
            for file in self.files:
                os.rename(file.temporary_name, file.final_name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                done.append(file)
        except OSError:
            for file in done:
                os.unlink(file.final_name, dir_fd=self._directory)
            raise


def _choose_mime_type(told: str, name: str) -> str:
    """Return the type that the client sent; without one that of the extension."""
    if told and told.isascii() and told.isprintable() and len(told) <= MAX_MIME_CHARACTERS:
        return told
    return mimetypes.guess_type(name)[0] or ""
