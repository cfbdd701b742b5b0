"""The files below /configs that an instance starts with, and the brief of its agent."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from services.registry.errors.templates import FilesTooLarge, InvalidPath, TooManyFiles
from services.registry.workspace.model import Brief, Schedule

MAX_FILES = 200
"""Files of one workspace."""

MAX_TOTAL_BYTES = 8 * 1024 * 1024
"""Limit on all files of a workspace together, so that they fit into one gRPC message."""

MAX_PATH_BYTES = 512
"""Limit on a path."""

MAX_PATH_PART_BYTES = 255
"""Limit of file systems on one name in a path."""

CONFIG_FILE = "config.yaml"
"""The configuration of the agent; every set of starter files has one."""

SYSTEM_PROMPT_FILE = "system-prompt.md"
"""The system prompt of the agent."""

RESERVED_PATHS = frozenset({".auth_token", ".platform_inbound_secret", ".molecule-kit"})
"""Files that the plane itself writes into the same directory."""

NO_BRIEF = Brief()

Files = Mapping[str, str]
"""Content by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterFiles:
    """The starter files and brief of a workspace, and the template they come from (empty for none)."""

    template: str = ""
    files: Files = field(default_factory=dict)
    brief: Brief = NO_BRIEF

    @property
    def digest(self) -> str:
        """The digest of the files; equal files have equal digests, and no files have the empty one."""
        if not self.files:
            return ""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()


def validate_files(files: Files) -> Files:
    """Return the files if they are allowed; raises `TooManyFiles`, `InvalidPath` or `FilesTooLarge`."""
    if len(files) > MAX_FILES:
        raise TooManyFiles(len(files), MAX_FILES)
    for path in files:
        _check_path(path)
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    if folders & files.keys():
        raise InvalidPath
    if sum(len(text.encode()) for text in files.values()) > MAX_TOTAL_BYTES:
        raise FilesTooLarge(MAX_TOTAL_BYTES)
    return files


def serialize_brief(brief: Brief) -> str:
    """Return the text in which a brief is stored; empty for the default brief."""
    return "" if brief == Brief() else json.dumps(asdict(brief), separators=(",", ":"))


def parse_brief(text: str) -> Brief:
    """Return the brief of a stored text."""
    if not text:
        return Brief()
    kept = json.loads(text)
    schedules = tuple(Schedule(**schedule) for schedule in kept.pop("schedules"))
    return Brief(schedules=schedules, plugins=tuple(kept.pop("plugins")), **kept)


def _check_path(path: str) -> None:
    parts = path.split("/")
    fits = (
        len(path.encode(errors="replace")) <= MAX_PATH_BYTES
        and path.isprintable()
        and "\\" not in path
        and path not in RESERVED_PATHS
        and not any(part in {"", ".", ".."} or len(part.encode()) > MAX_PATH_PART_BYTES for part in parts)
    )
    if not fits:
        raise InvalidPath
