"""Rules for files of the workspace: which paths may be read, and under which names uploads are stored. Pure."""

import posixpath
import re
import unicodedata
from urllib.parse import quote

ROOTS = ("configs", "workspace", "home", "plugins")
"""The directories whose files may be read."""

MAX_PATH_BYTES = 4096

MAX_NAME_CHARACTERS = 100
"""Characters of the name of a stored file; a longer one loses its middle, so that it keeps its extension."""

MAX_NAME_BYTES = 200
"""Bytes of it: file systems allow 255, and an id precedes it."""

KEPT_EXTENSION_CHARACTERS = 20

DEFAULT_NAME = "file"

UNSAFE_CHARACTERS = re.compile(r"[^\w.()+-]")
"""What becomes `_` in the name of a stored file. Letters and digits of every script stay."""


class InvalidPath(Exception):
    """No file that may be read has this path; the text says why."""


def split_path(path: str) -> tuple[str, ...]:
    """Return the parts of an absolute, canonical path below one of the roots; raises `InvalidPath` for any other.

    Files of /configs with a part of their path that begins with a dot hold credentials, and are refused.
    """
    if not path:
        raise InvalidPath("path query required")
    if not path.startswith("/"):
        raise InvalidPath("path must be absolute")
    root, *parts = path.removeprefix("/").split("/")
    if root not in ROOTS:
        raise InvalidPath("path must be under /configs, /workspace, /home, or /plugins")
    has_controls = any(ord(character) < ord(" ") or character == "\x7f" for character in path)
    if has_controls or not parts or posixpath.normpath(path) != path or len(path.encode()) > MAX_PATH_BYTES:
        raise InvalidPath("invalid path")
    if root == "configs" and any(part.startswith(".") for part in parts):
        raise InvalidPath("invalid path")
    return root, *parts


def make_safe_name(name: str) -> str:
    """Return the name under which a file is stored: the last part of a path, without what could mislead a program."""
    last = re.split(r"[/\\]", name)[-1]
    safe = UNSAFE_CHARACTERS.sub("_", unicodedata.normalize("NFC", last)).lstrip(".")
    stem, extension = posixpath.splitext(safe)
    if len(safe) > MAX_NAME_CHARACTERS or len(safe.encode()) > MAX_NAME_BYTES:
        extension = _cut(extension, KEPT_EXTENSION_CHARACTERS, MAX_NAME_BYTES // 2)
        room = MAX_NAME_BYTES - len(extension.encode())
        safe = _cut(stem, MAX_NAME_CHARACTERS - len(extension), room) + extension
    return safe or DEFAULT_NAME


def build_disposition(name: str) -> str:
    """Return the Content-Disposition of an attachment (RFC 6266): the name in ASCII, and encoded if it has more."""
    plain = "".join(character if " " <= character <= "~" and character not in '"\\%' else "_" for character in name)
    disposition = f'attachment; filename="{plain}"'
    return disposition if plain == name else f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"


def _cut(text: str, characters: int, size: int) -> str:
    """Return the beginning of a text, at most so many characters and bytes."""
    return text[:characters].encode()[:size].decode(errors="ignore")
