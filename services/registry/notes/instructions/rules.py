"""Instructions: what agents may be told, and in which order (docs/spec/rest.md, 6.16)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.registry.errors.workspaces import InvalidValue
from services.registry.notes.errors import InvalidNote
from services.registry.workspace.model import WorkspaceId

MAX_TITLE_CHARACTERS = 200
"""Characters of the longest title."""

MAX_CONTENT_CHARACTERS = 8192
"""Characters of the longest content."""

MAX_INSTRUCTIONS_PER_TARGET = 100
"""Instructions for everybody, and for each workspace."""

CHANGEABLE_FIELDS = frozenset({"title", "content", "priority", "enabled"})
"""What can be changed of an instruction."""


class InstructionScope(StrEnum):
    """Whom an instruction is for."""

    GLOBAL = "global"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Something that agents are told; those of a higher priority first. Without a target it is for everybody."""

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
        """Whom it is for."""
        return InstructionScope.GLOBAL if self.target is None else InstructionScope.WORKSPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionDraft:
    """An instruction as somebody wants it."""

    scope: str
    target: str
    title: str
    content: str
    priority: int


def parse_scope(text: str) -> InstructionScope:
    """The scope that a text names; raises `InvalidNote`."""
    if text not in set(InstructionScope):
        raise InvalidNote("scope must be global or workspace (team scope not yet supported)")
    return InstructionScope(text)


def parse_target(draft: InstructionDraft) -> WorkspaceId | None:
    """Whom a draft is for, if it can be; raises `InvalidNote`."""
    if not draft.scope:
        raise InvalidNote(MISSING_FIELD_TEXT)
    _check_texts(draft.title, draft.content)
    if parse_scope(draft.scope) is InstructionScope.GLOBAL:
        return None
    if not draft.target:
        raise InvalidNote("scope_target required for workspace scope")
    return WorkspaceId(draft.target)


def apply_changes(instruction: Instruction, wanted: Mapping[str, Any], at: datetime) -> Instruction:
    """The instruction with `wanted` written into it; raises `InvalidNote`."""
    for name in wanted:
        if name not in CHANGEABLE_FIELDS:
            raise InvalidValue(field=name)
    now = replace(instruction, **wanted, updated_at=at)
    _check_texts(now.title, now.content)
    return now


def render_instructions(instructions: Iterable[Instruction]) -> str:
    """What an agent is told, as Markdown: a section for each, in their order."""
    return "\n\n".join(f"## {' '.join(one.title.split())}\n\n{one.content.strip()}" for one in instructions)


def _check_texts(title: str, content: str) -> None:
    if not title.strip() or not content.strip() or "\0" in title + content:
        raise InvalidNote(MISSING_FIELD_TEXT)
    if len(content) > MAX_CONTENT_CHARACTERS:
        raise InvalidNote(f"content exceeds {MAX_CONTENT_CHARACTERS} chars")
    if len(title) > MAX_TITLE_CHARACTERS:
        raise InvalidNote(f"title exceeds {MAX_TITLE_CHARACTERS} chars")


MISSING_FIELD_TEXT = "scope, title, and content are required"
