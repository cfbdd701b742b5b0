"""Reads and renders messages, artifacts and their parts in the proto JSON of 0.3.

A message has `content` instead of `parts`, roles have the names of an enum, parts have no `kind`, and the data of a
data part is wrapped: `{"data": {"data": {...}}}`. ProtoJSON allows the names of the proto file as well (`message_id`),
which the official SDK sends. The bytes of a file are base64 of base64: the SDK puts the base64 text of the JSON into
the field, which ProtoJSON encodes again. What is encoded once is read, too.

What is rendered has the members of the proto file only: readers refuse the whole text for one that they do not know.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping

from molecule_a2a.members import convert_object, list_aliases, rename_members
from molecule_a2a.messages import ROLES
from molecule_a2a.model import JsonObject

MESSAGE_MEMBERS = ("messageId", "contextId", "taskId", "role", "content", "metadata", "extensions")
ARTIFACT_MEMBERS = ("artifactId", "name", "description", "parts", "metadata", "extensions")
PART_MEMBERS = ("text", "file", "data", "metadata")
FILE_MEMBERS = ("fileWithUri", "fileWithBytes", "mimeType", "name")

BASE64_GROUP = 4
"""Characters that stand for three bytes."""

FILE_NAMES = {"bytes": "fileWithBytes", "uri": "fileWithUri"}
"""The members of a file that hold its content, with their names in proto JSON."""


def read_message(message: JsonObject) -> JsonObject:
    """Return the message that a proto message stands for. One that has the form of JSON already stays."""
    read = {**rename_members(message, _MESSAGE_ALIASES), "kind": "message"}
    if "parts" not in read and "content" in read:
        read["parts"] = read.pop("content")
    _rename_role(read, _ROLES)
    _convert_parts(read, "parts", read_part)
    return read


def render_message(message: JsonObject) -> JsonObject:
    """Return the proto message of a message."""
    rendered = select_members(rename_members(message, {"parts": "content"}), MESSAGE_MEMBERS)
    _rename_role(rendered, ROLES)
    _convert_parts(rendered, "content", render_part)
    return rendered


def read_artifact(artifact: JsonObject) -> JsonObject:
    read = {**rename_members(artifact, _ARTIFACT_ALIASES)}
    _convert_parts(read, "parts", read_part)
    return read


def render_artifact(artifact: JsonObject) -> JsonObject:
    rendered = select_members(artifact, ARTIFACT_MEMBERS)
    _convert_parts(rendered, "parts", render_part)
    return rendered


def read_part(part: JsonObject) -> JsonObject:
    """Return the part that a proto part stands for. One with a `kind` has the form of JSON already."""
    if isinstance(part.get("kind"), str):
        return part
    if "text" in part:
        return {**part, "kind": "text"}
    if isinstance(part.get("file"), dict):
        return {**part, "kind": "file", "file": _read_file(part["file"])}
    if "data" in part:
        return {**part, "kind": "data", "data": _unwrap(part["data"])}
    return part


def render_part(part: JsonObject) -> JsonObject:
    """Return the proto part of a part."""
    rendered = select_members(part, PART_MEMBERS)
    if part.get("kind") == "data" and "data" in part:
        rendered["data"] = {"data": part["data"]}
    elif part.get("kind") == "file":
        rendered["file"] = convert_object(part.get("file"), _render_file)
    return rendered


def select_members(source: JsonObject, names: Iterable[str]) -> JsonObject:
    """Return the members of an object that the proto file has."""
    return {name: source[name] for name in names if name in source}


_MESSAGE_ALIASES = list_aliases("messageId", "contextId", "taskId", "referenceTaskIds")
_ARTIFACT_ALIASES = list_aliases("artifactId")
_FILE_ALIASES = list_aliases("fileWithBytes", "fileWithUri", "mimeType")

_URL_SAFE = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)

_ROLES = {name: role for role, name in ROLES.items()}


def _rename_role(message: JsonObject, names: Mapping[str, str]) -> None:
    role = message.get("role")
    if isinstance(role, str):
        message["role"] = names.get(role, role)


def _read_file(file: JsonObject) -> JsonObject:
    named = {**rename_members(file, _FILE_ALIASES)}
    for old, new in FILE_NAMES.items():
        if new in named and old not in named:
            named[old] = named.pop(new)
    if isinstance(named.get("bytes"), str):
        named["bytes"] = _decode_once(named["bytes"])
    return named


def _render_file(file: JsonObject) -> JsonObject:
    rendered = select_members(rename_members(file, FILE_NAMES), FILE_MEMBERS)
    content = rendered.get("fileWithBytes")
    if isinstance(content, str):
        padded = content + "=" * (-len(content) % BASE64_GROUP)
        rendered["fileWithBytes"] = b64encode(padded.encode(errors="replace")).decode()
    return rendered


def _decode_once(text: str) -> str:
    """Return the base64 text that is encoded once more, or the text itself if it is encoded once."""
    try:
        decoded = b64decode(text.translate(_URL_SAFE) + "=" * (-len(text) % BASE64_GROUP), validate=True).decode(
            "ascii"
        )
    except ValueError:
        return text
    return decoded if len(decoded) % BASE64_GROUP == 0 and _BASE64.fullmatch(decoded) else text


def _unwrap(data: object) -> object:
    """Return the data of a data part, which is an object in an object; anything else is data itself."""
    if isinstance(data, dict) and data.keys() == {"data"} and isinstance(data["data"], dict):
        return data["data"]
    return data


def _convert_parts(target: JsonObject, name: str, convert: Callable[[JsonObject], object]) -> None:
    parts = target.get(name)
    if isinstance(parts, list):
        target[name] = [convert_object(part, convert) for part in parts]
