"""The files of workspaces."""

from typing import Literal

from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel
from protos.provisioner.v1 import files_pb2 as pb


class FileContent(RequestModel):
    """Body of PUT /workspaces/{id}/files/{path}."""

    content: str


class FilesContent(RequestModel):
    """Body of PUT /workspaces/{id}/files: content by path."""

    files: dict[str, str]


class FileItem(TypedDict):
    """A file or a directory, with its path below the root."""

    path: str
    size: int
    dir: bool


class TextFile(TypedDict):
    """A file of text. `size` is in bytes."""

    path: str
    content: str
    size: int


class SavedFile(TypedDict):
    """Answer of a write."""

    path: str
    status: Literal["saved"]


class DeletedFile(TypedDict):
    """Answer of a deletion."""

    path: str
    status: Literal["deleted"]


class ReplacedFiles(TypedDict):
    """Answer of a write of several files. `source`: whether the instance runs, or only its files exist."""

    status: Literal["replaced"]
    workspace: str
    files: int
    source: Literal["container", "volume"]


def render_entry(message: pb.FileEntry) -> FileItem:
    """Return a file or a directory."""
    return FileItem(path=message.path, size=message.size, dir=message.is_directory)
