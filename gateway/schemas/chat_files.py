"""The files of chats."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
    "required": ["files"],
}
"""The form of an upload, in JSON schema."""


class UploadedFile(TypedDict):
    """A stored file. Its path is what follows `workspace:` in the `uri`."""

    uri: str
    name: str
    size: int
    mimeType: NotRequired[str]


class UploadedFiles(TypedDict):
    """The files that the agent has stored, in the order of the form."""

    files: list[UploadedFile]
