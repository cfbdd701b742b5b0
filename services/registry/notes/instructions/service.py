"""Stores instructions of operators, and renders those that one agent must follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.chassis import pages
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.notes.errors import InstructionNotFound, PlatformAdminRequired, TooManyNotes
from services.registry.notes.instructions import rules
from services.registry.notes.instructions.rules import Instruction, InstructionDraft
from services.registry.notes.instructions.store import InstructionPosition, InstructionStore
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.model import WorkspaceId


@dataclass(frozen=True, slots=True)
class InstructionPage:
    """Some instructions of a list, and the token of the next page; empty on the last page."""

    instructions: Sequence[Instruction]
    next_page_token: str = ""


class Instructions:
    """All instructions.

    Only operators of the plane write instructions for all agents; an organisation writes those for its workspaces.
    """

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self, caller: Identity, *, scope: str, target: str, size: int, token: str) -> InstructionPage:
        """Return instructions, those for all agents first; an organisation sees those for its workspaces."""
        wanted = rules.parse_scope(scope) if scope else None
        async with self._store.begin() as tx:
            found = await InstructionStore(tx.connection).list_page(
                scope=wanted,
                target=target,
                org_id=access.get_org_filter(caller),
                after=_parse_page_token(token),
                limit=size + 1,
            )
        if len(found) <= size:
            return InstructionPage(found)
        return InstructionPage(found[:size], _build_page_token(found[size - 1]))

    async def create(self, caller: Identity, request_id: str, draft: InstructionDraft) -> Instruction:
        """Store a new instruction. If a caller repeats a `request_id`, one instruction is stored."""
        now = self._clock.now()
        instruction = Instruction(
            id=access.derive_id(caller, request_id),
            target=rules.parse_target(draft),
            title=draft.title,
            content=draft.content,
            priority=draft.priority,
            created_at=now,
            updated_at=now,
        )
        async with self._store.begin() as tx:
            instructions = InstructionStore(tx.connection)
            await _check_may_write(tx, caller, instruction.target)
            if await instructions.count(instruction.target) >= rules.MAX_INSTRUCTIONS_PER_TARGET:
                raise TooManyNotes("instructions", rules.MAX_INSTRUCTIONS_PER_TARGET)
            await instructions.insert(instruction)
        return instruction

    async def update(self, caller: Identity, instruction_id: str, changes: Mapping[str, Any]) -> Instruction:
        """Change fields of an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            before = await self._get_for_update(tx, caller, instruction_id)
            changed = rules.apply_changes(before, changes, self._clock.now())
            await InstructionStore(tx.connection).update(changed)
        return changed

    async def delete(self, caller: Identity, instruction_id: str) -> None:
        """Delete an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            instruction = await self._get_for_update(tx, caller, instruction_id)
            await InstructionStore(tx.connection).delete(instruction)

    async def resolve(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """Return the enabled instructions for an agent as Markdown; empty if there are none."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            enabled = await InstructionStore(tx.connection).list_enabled(workspace_id)
        return rules.render_instructions(enabled)

    async def _get_for_update(self, tx: Transaction, caller: Identity, instruction_id: str) -> Instruction:
        instruction = await InstructionStore(tx.connection).find_for_update(instruction_id)
        if instruction is None:
            raise InstructionNotFound
        await _check_may_write(tx, caller, instruction.target)
        return instruction


async def _check_may_write(tx: Transaction, caller: Identity, target: WorkspaceId | None) -> None:
    """Raise `PlatformAdminRequired` or an access error if the caller may not write instructions for the target."""
    if target is not None:
        await access.require_writable(tx, caller, target)
    elif caller.kind is Kind.ORG:
        raise PlatformAdminRequired


def _build_page_token(last: Instruction) -> str:
    return pages.encode_page_token([last.target or "", str(-last.priority), last.created_at.isoformat(), last.id])


def _parse_page_token(token: str) -> InstructionPosition | None:
    """Return the position in a token; raises `InvalidPageToken`."""
    if not token:
        return None
    target, rank, created_at, instruction_id = pages.decode_page_token(token, 4)
    try:
        return target, int(rank), datetime.fromisoformat(created_at), instruction_id
    except ValueError:
        raise pages.InvalidPageToken from None
