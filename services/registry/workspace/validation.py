"""Validates new and changed workspaces against the limits of docs/spec/rest.md, 6.3."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from services.chassis import strict_json, variables
from services.registry.errors.workspaces import (
    CardTooLarge,
    InvalidBody,
    InvalidDeliveryMode,
    InvalidValue,
    InvalidWorkspace,
)
from services.registry.workspace.model import EXTERNAL, DeliveryMode, DirectoryAccess, Workspace

MAX_NAME_BYTES = 255
"""Limit on a name."""

MAX_ROLE_BYTES = 1000
"""Limit on a role."""

MAX_IMAGE_CHARS = 255
"""Length of the longest name of an image."""

IMAGE_PATTERN = r"^([A-Za-z0-9][A-Za-z0-9._/:@-]*)?$"
"""What the name of an image looks like: a repository with a tag or a digest, after a registry or without one."""

MAX_CODE_BYTES = 100
"""Limit on a runtime or model."""

MAX_DIRECTORY_BYTES = 4096
"""Limit on a directory path."""

MAX_CARD_BYTES = 256 * 1024
"""Limit on a card."""

MAX_CARD_DEPTH = 64
"""Levels of nesting in a card; later readers may walk it recursively."""

TIERS = range(1, 5)
"""Allowed tiers: the isolation and resources of an instance."""

DEFAULT_TIER = 3
"""The tier of a workspace created without one."""

DEFAULT_MAX_CONCURRENT_TASKS = 1
"""How many tasks an agent runs at once if its creator sets no limit."""

DEFAULT_RUNTIME = "langgraph"
"""The runtime of a workspace created without one."""

MAX_INITIAL_MEMORIES = 100
"""Limit on the memories with which a workspace is created."""

FORBIDDEN_CHARS = frozenset("{}[]|>*&!\0")
"""Not allowed in names and roles: these have a meaning in YAML, shells or the database."""

INVISIBLE_CHARS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Not allowed in names and roles: they control terminals and pages, end lines, reorder text or cannot be seen."""

SYSTEM_DIRECTORIES = tuple(
    PurePosixPath(folder)
    for folder in ("/etc", "/var", "/proc", "/sys", "/dev", "/boot", "/sbin", "/bin", "/lib", "/usr")
)
"""Host directories that no instance may mount."""

ADMIN_FIELDS = frozenset({"parent_id", "tier", "workspace_dir"})
"""Fields that a workspace may not change with its own token."""


@dataclass(frozen=True, slots=True)
class InitialMemory:
    """A memory with which a workspace is created, not yet validated."""

    content: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceDraft:
    """The fields of a workspace to be created; empty fields get their defaults."""

    name: str
    role: str = ""
    runtime: str = ""
    model: str = ""
    template: str = ""
    tier: int = 0
    """0 for the tier of the template, or else the default."""
    parent_id: str | None = None
    external: bool = False
    url: str = ""
    delivery_mode: str = ""
    workspace_dir: str = ""
    workspace_access: str = ""
    budget_limit: int | None = None
    max_concurrent_tasks: int = 0
    hibernation_idle_minutes: int | None = None
    x: float = 0.0
    y: float = 0.0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    initial_memories: tuple[InitialMemory, ...] = field(default=(), repr=False)


def validate_new(draft: WorkspaceDraft) -> WorkspaceDraft:
    """Return the draft with its defaults; raises the error of the first limit that it exceeds."""
    _check_texts(draft)
    _check_numbers(draft)
    if variables.find_first_fault(draft.secrets):
        raise InvalidWorkspace
    if draft.delivery_mode not in {"", *DeliveryMode}:
        raise InvalidDeliveryMode
    _check_directory(draft)
    external = draft.external or draft.runtime == EXTERNAL
    return replace(
        draft,
        external=external,
        runtime=EXTERNAL if external else draft.runtime or DEFAULT_RUNTIME,
        url=draft.url if external else "",
        tier=draft.tier or DEFAULT_TIER,
        workspace_access=draft.workspace_access or DirectoryAccess.NONE,
        max_concurrent_tasks=_choose_max_concurrent_tasks(draft.max_concurrent_tasks),
        hibernation_idle_minutes=draft.hibernation_idle_minutes or None,
    )


def validate_tier(tier: int) -> int:
    """Return the tier that a caller requests for a new workspace; raises `InvalidWorkspace` outside 1 to 4."""
    if tier not in TIERS:
        raise InvalidWorkspace
    return tier


def validate_changes(workspace: Workspace, changes: Mapping[str, Any]) -> Workspace:
    """Return the workspace with the changed fields; `None` clears a field. Raises `InvalidValue`.

    `parent_id` and `runtime` are skipped: they need the tree and the catalog, so `directory.updates` validates them.
    """
    if ("x" in changes) != ("y" in changes):
        raise InvalidValue("x and y must be given together")
    return replace(
        workspace, **{name: _VALIDATORS[name](name, changes[name]) for name in changes if name in _VALIDATORS}
    )


def parse_card(card: bytes) -> Any:  # noqa: ANN401 - unvalidated JSON of an agent
    """Return the JSON object of a card; raises `CardTooLarge` or `InvalidBody`."""
    if len(card) > MAX_CARD_BYTES:
        raise CardTooLarge(MAX_CARD_BYTES)
    try:
        read = strict_json.parse(card, max_depth=MAX_CARD_DEPTH)
    except strict_json.JsonLimitExceeded as error:
        raise InvalidBody("invalid_body", f"agent_card has {error}") from None
    except strict_json.InvalidJson:
        read = None
    if not isinstance(read, dict):
        raise InvalidBody("invalid_body", "agent_card must be a JSON object")
    if _is_deeper(read, MAX_CARD_DEPTH):
        raise InvalidBody("invalid_body", f"agent_card has more than {MAX_CARD_DEPTH} levels")
    return read


def _is_deeper(read: object, levels: int) -> bool:
    level: list[object] = [read]
    for _ in range(levels):
        level = [part for whole in level for part in _iterate_parts(whole)]
        if not level:
            return False
    return True


def _iterate_parts(whole: object) -> Iterable[object]:
    match whole:
        case dict():
            return whole.values()
        case list():
            return whole
        case _:
            return ()


def _check_texts(draft: WorkspaceDraft) -> None:
    fits = (
        draft.name.strip() != ""
        and _find_text_fault(draft.name, MAX_NAME_BYTES) is None
        and _find_text_fault(draft.role, MAX_ROLE_BYTES) is None
        and all(_is_code(text) for text in (draft.runtime, draft.model))
    )
    if not fits:
        raise InvalidWorkspace


def _is_code(text: str) -> bool:
    return len(text.encode()) <= MAX_CODE_BYTES and not set(text) & set("\r\n\0")


def _check_numbers(draft: WorkspaceDraft) -> None:
    fits = (
        draft.tier in {0, *TIERS}
        and (draft.budget_limit or 0) >= 0
        and len(draft.initial_memories) <= MAX_INITIAL_MEMORIES
        and (draft.hibernation_idle_minutes or 0) >= 0
        and math.isfinite(draft.x)
        and math.isfinite(draft.y)
    )
    if not fits:
        raise InvalidWorkspace


def _check_directory(draft: WorkspaceDraft) -> None:
    if draft.workspace_dir and not _is_safe_directory(draft.workspace_dir):
        raise InvalidWorkspace("invalid workspace directory")
    if draft.workspace_access not in {"", *DirectoryAccess}:
        raise InvalidWorkspace("invalid workspace access")
    if draft.workspace_access not in {"", DirectoryAccess.NONE} and not draft.workspace_dir:
        raise InvalidWorkspace("invalid workspace access")


def _is_safe_directory(text: str) -> bool:
    path = PurePosixPath(text)
    fits = (
        len(text.encode()) <= MAX_DIRECTORY_BYTES and "\0" not in text and path.is_absolute() and ".." not in path.parts
    )
    plain = PurePosixPath("/", *path.parts[1:])
    return (
        fits and plain != PurePosixPath("/") and not any(plain.is_relative_to(folder) for folder in SYSTEM_DIRECTORIES)
    )


def _find_text_fault(text: str, limit: int) -> str | None:
    if set(text) & set("\r\n"):
        return "must not contain newline characters"
    if set(text) & FORBIDDEN_CHARS or INVISIBLE_CHARS.search(text):
        return "contains invalid characters"
    return f"must be at most {limit} characters" if len(text.encode()) > limit else None


def _choose_max_concurrent_tasks(requested: int) -> int:
    return requested if requested > 0 else DEFAULT_MAX_CONCURRENT_TASKS


def _validate_name(field: str, value: str | None) -> str:
    if not value or not value.strip():
        raise InvalidValue(field=field)
    if fault := _find_text_fault(value, MAX_NAME_BYTES):
        raise InvalidValue(f"{field} {fault}")
    return value


def _validate_role(field: str, value: str | None) -> str | None:
    if value and (fault := _find_text_fault(value, MAX_ROLE_BYTES)):
        raise InvalidValue(f"{field} {fault}")
    return value or None


def _validate_coordinate(field: str, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        raise InvalidValue(field=field)
    return value


def _validate_collapsed(field: str, value: bool | None) -> bool:  # noqa: FBT001 - it is the value of the field
    if value is None:
        raise InvalidValue(field=field)
    return value


def _validate_max_concurrent_tasks(field: str, value: int | None) -> int:
    if value is None:
        raise InvalidValue(field=field)
    return _choose_max_concurrent_tasks(value)


def _validate_idle_minutes(field: str, value: int | None) -> int | None:
    if value is not None and value < 0:
        raise InvalidValue(field=field)
    return value or None


def _validate_tier_change(field: str, value: int | None) -> int:
    if value is None or value not in TIERS:
        raise InvalidValue(field=field)
    return value


def _validate_directory(_: str, value: str | None) -> str | None:
    if value and not _is_safe_directory(value):
        raise InvalidValue("invalid workspace directory")
    return value or None


_VALIDATORS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _validate_name,
    "role": _validate_role,
    "x": _validate_coordinate,
    "y": _validate_coordinate,
    "collapsed": _validate_collapsed,
    "max_concurrent_tasks": _validate_max_concurrent_tasks,
    "hibernation_idle_minutes": _validate_idle_minutes,
    "tier": _validate_tier_change,
    "workspace_dir": _validate_directory,
}
"""The validator of each field that can be changed independently of others."""
