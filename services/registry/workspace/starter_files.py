"""What a workspace starts with besides its fields: files below /configs, and what its agent is briefed with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from services.registry.errors.templates import FilesTooLarge, InvalidPath, TooManyFiles
from services.registry.workspace.model import Brief, Schedule

MAX_FILES = 200
"""Files of one kit."""

MAX_TOTAL_BYTES = 8 * 1024 * 1024
"""Of all files of a kit: it has to fit one message between services."""

MAX_PATH_BYTES = 512
"""Of the longest path."""

MAX_PATH_PART_BYTES = 255
"""Of the longest name in a path: what file systems take."""

CONFIG_FILE = "config.yaml"
"""The file that says what an agent is; every kit has one."""

SYSTEM_PROMPT_FILE = "system-prompt.md"
"""Where the prompt of an agent is."""

RESERVED_PATHS = frozenset({".auth_token", ".platform_inbound_secret", ".molecule-kit"})
"""What the plane itself puts beside them."""

NO_BRIEF = Brief()

Files = Mapping[str, str]
"""Content by path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterFiles:
    """What a workspace starts with. `template` is the one it came from; empty where it came from none."""

    template: str = ""
    files: Files = field(default_factory=dict)
    brief: Brief = NO_BRIEF

    @property
    def digest(self) -> str:
        """The name of these files, the same for the same files; empty for none."""
        if not self.files:
            return ""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()


def validate_files(files: Files) -> Files:
    """The files, if an instance may have them; raises `TooManyFiles`, `InvalidPath` or `FilesTooLarge`."""
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
    """A brief as it is kept."""
    return "" if brief == Brief() else json.dumps(asdict(brief), separators=(",", ":"))


def parse_brief(text: str) -> Brief:
    """A brief that was kept."""
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
        and not any(
            part in {"", ".", ".."} or len(part.encode(errors="replace")) > MAX_PATH_PART_BYTES for part in parts
        )
    )
    if not fits:
        raise InvalidPath
