"""Converts parts of messages and artifacts.

A part of 1.0 has one of the members `text`, `raw`, `url` and `data`. A part of 0.2 and 0.3 has a `kind`, and a file in
an object of its own. Older spellings are read too: `type` for `kind` (0.1), a text alone, and the file of the protobuf
form of 0.3 (`fileWithBytes`, `fileWithUri`).
"""

from molecule_a2a.members import list_aliases, rename_members
from molecule_a2a.model import JsonObject

KINDS = frozenset({"text", "file", "data"})

CONTENT_MEMBERS = frozenset({"text", "raw", "url", "data"})
"""The members of a part of 1.0 that hold its content."""

FILE_CONTENTS = {"bytes": "raw", "fileWithBytes": "raw", "uri": "url", "fileWithUri": "url"}
"""The members of a file of 0.3 that hold its content, with their names in 1.0."""

FILE_MEMBERS = {"raw": "bytes", "url": "uri"}
"""The members of a part of 1.0 that hold a file, with their names in a file of 0.3."""

FILE_PROPERTIES = {"name": "filename", "mimeType": "mediaType"}

WRAPPED = "data_part_compat"
"""The flag in the metadata of a data part of 0.3 whose value is no object and is therefore wrapped in one."""


def upgrade_part(part: object) -> object:
    """Return a part of 1.0. Members of a file that the protocol does not know stay in `file`."""
    if isinstance(part, str):
        return {"text": part}
    if not isinstance(part, dict):
        return part
    upgraded = part.copy()
    kind = _take_kind(upgraded)
    file = part.get("file")
    if isinstance(file, dict) and (kind == "file" or CONTENT_MEMBERS.isdisjoint(part)):
        _upgrade_file(upgraded, file)
    elif kind == "data":
        _unwrap_data(upgraded)
    return upgraded


def downgrade_part(part: object) -> object:
    """Return a part of 0.3. A part without content becomes an empty text, because 0.3 has none without content."""
    if not isinstance(part, dict):
        return part
    downgraded = {**rename_members(part, _ALIASES)}
    content = _find_content(downgraded)
    if content == "data":
        downgraded["kind"] = "data"
        _wrap_data(downgraded)
    elif content in FILE_MEMBERS:
        _downgrade_file(downgraded, content)
    elif content != "file":
        downgraded |= {"kind": "text", "text": downgraded["text"] if content else ""}
    return downgraded


_ALIASES = list_aliases("mediaType")


def _take_kind(part: JsonObject) -> str:
    """Remove the discriminator of a part and return it; empty for a part without one."""
    found = ""
    for name in ("type", "kind"):
        kind = part.get(name)
        if isinstance(kind, str) and kind in KINDS:
            found = kind
            del part[name]
    return found


def _upgrade_file(part: JsonObject, file: JsonObject) -> None:
    rest = {name: value for name, value in file.items() if value is not None}
    source = next((name for name in FILE_CONTENTS if name in rest), None)
    if source is None:
        return
    part[FILE_CONTENTS[source]] = rest.pop(source)
    for name, new in FILE_PROPERTIES.items():
        if name in rest:
            part[new] = rest.pop(name)
    if rest:
        part["file"] = rest
    else:
        del part["file"]


def _find_content(part: JsonObject) -> str:
    """Return the name of the member that holds the content; `file` for a file of 0.3, and empty without content."""
    if part.get("text") is not None:
        return "text"
    file = part.get("file")
    if part.get("kind") == "file" and isinstance(file, dict) and not FILE_CONTENTS.keys().isdisjoint(file):
        return "file"
    for name in FILE_MEMBERS:
        if part.get(name) is not None:
            return name
    return "data" if "data" in part else ""  # null is data


def _downgrade_file(part: JsonObject, content: str) -> None:
    rest = part.get("file")
    file = {**rest} if isinstance(rest, dict) else {}
    file[FILE_MEMBERS[content]] = part.pop(content)
    for old, new in FILE_PROPERTIES.items():
        if new in part:
            file[old] = part.pop(new)
    part |= {"kind": "file", "file": file}


def _wrap_data(part: JsonObject) -> None:
    if not isinstance(part["data"], dict):
        metadata = part.get("metadata")
        part["data"] = {"value": part["data"]}
        part["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), WRAPPED: True}


def _unwrap_data(part: JsonObject) -> None:
    data, metadata = part.get("data"), part.get("metadata")
    if not isinstance(metadata, dict) or metadata.get(WRAPPED) is not True:
        return
    if isinstance(data, dict) and data.keys() == {"value"}:
        part["data"] = data["value"]
        rest = {name: value for name, value in metadata.items() if name != WRAPPED}
        if rest:
            part["metadata"] = rest
        else:
            del part["metadata"]
