"""Reads the files that a message to people names."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from molecule_agent.plane_client import UploadedFile
from molecule_agent.tools.errors import ToolError

MAX_ATTACHMENTS = 20
"""Attachments of one message."""

MAX_FILE_BYTES = 25 * 1024 * 1024
"""Bytes of one attachment."""

MAX_TOTAL_BYTES = 50 * 1024 * 1024 - 64 * 1024
"""Bytes of all attachments of one message; the form around them needs some of the 50 MiB of an upload."""

UNKNOWN_TYPE = "application/octet-stream"


def read_attachments(paths: Sequence[str]) -> list[UploadedFile]:
    """Read the files; raises ToolError if one of them is missing or too large, so all or none are sent."""
    if len(paths) > MAX_ATTACHMENTS:
        raise ToolError(f"at most {MAX_ATTACHMENTS} attachments")
    files = [_read(Path(path)) for path in paths]
    if sum(len(content) for _, content, _ in files) > MAX_TOTAL_BYTES:
        raise ToolError(f"the attachments are larger than {MAX_TOTAL_BYTES} bytes")
    return files


def _read(path: Path) -> UploadedFile:
    try:
        if not path.is_file():
            raise ToolError(f"{path}: no such file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ToolError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    return path.name, content, mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
