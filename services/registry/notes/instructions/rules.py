"""Rules of instructions: which are valid, and how an agent receives them (docs/spec/rest.md, 6.16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.registry.errors.workspaces import InvalidValue
from services.registry.notes.errors import InvalidNote
from services.registry.workspace.model import WorkspaceId

MAX_TITLE_CHARACTERS = 200

MAX_CONTENT_CHARACTERS = 8192

MAX_INSTRUCTIONS_PER_TARGET = 100
"""Instructions for one workspace, and instructions for all agents."""

CHANGEABLE_FIELDS = frozenset({"title", "content", "priority", "enabled"})


class InstructionScope(StrEnum):
    """Whether an instruction is for all agents or for one."""

    GLOBAL = "global"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A text that agents receive, those of a higher priority first. Without a target it is for all agents."""

    id: str
    target: WorkspaceId | None
    title: str
    content: str
    created_at: datetime
    updated_at: datetime
    priority: int = 0
    enabled: bool = True

    @property
    def scope(self) -> InstructionScope:
        return InstructionScope.GLOBAL if self.target is None else InstructionScope.WORKSPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionDraft:
    """An instruction to create, as the caller sent it."""

    scope: str
    target: str
    title: str
    content: str
    priority: int


def parse_scope(text: str) -> InstructionScope:
    """Return the scope that a text names; raises `InvalidNote`."""
    if text not in set(InstructionScope):
        raise InvalidNote("scope must be global or workspace (team scope not yet supported)")
    return InstructionScope(text)


def parse_target(draft: InstructionDraft) -> WorkspaceId | None:
    """Check a draft and return its target, `None` for all agents; raises `InvalidNote`."""
    if not draft.scope:
        raise InvalidNote(MISSING_FIELD_TEXT)
    _check_texts(draft.title, draft.content)
    if parse_scope(draft.scope) is InstructionScope.GLOBAL:
        return None
    if not draft.target:
        raise InvalidNote("scope_target required for workspace scope")
    return WorkspaceId(draft.target)


def apply_changes(instruction: Instruction, changes: Mapping[str, Any], at: datetime) -> Instruction:
    """Return the instruction with changed fields; raises `InvalidNote` or `InvalidValue`."""
    for name in changes:
        if name not in CHANGEABLE_FIELDS:
            raise InvalidValue(field=name)
    changed = replace(instruction, **changes, updated_at=at)
    _check_texts(changed.title, changed.content)
    return changed


def render_instructions(instructions: Iterable[Instruction]) -> str:
    """Return instructions as Markdown, with one section each, in their order."""
    return "\n\n".join(f"## {' '.join(one.title.split())}\n\n{one.content.strip()}" for one in instructions)


def _check_texts(title: str, content: str) -> None:
    if not title.strip() or not content.strip() or "\0" in title + content:
        raise InvalidNote(MISSING_FIELD_TEXT)
    if len(content) > MAX_CONTENT_CHARACTERS:
        raise InvalidNote(f"content exceeds {MAX_CONTENT_CHARACTERS} chars")
    if len(title) > MAX_TITLE_CHARACTERS:
        raise InvalidNote(f"title exceeds {MAX_TITLE_CHARACTERS} chars")


MISSING_FIELD_TEXT = "scope, title, and content are required"
