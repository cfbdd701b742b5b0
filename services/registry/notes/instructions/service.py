"""♥ What operators tell agents: everybody, or one."""

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
    """Some of the instructions, and the token to go on with; empty on the last one."""

    instructions: Sequence[Instruction]
    next_page_token: str = ""


class Instructions:
    """Keeps instructions. Those for everybody are the platform's, those for a workspace its organisation's too."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self, caller: Identity, *, scope: str, target: str, size: int, token: str) -> InstructionPage:
        """Instructions, those for everybody first; an organisation sees its own."""
        wanted = rules.parse_scope(scope) if scope else None
        async with self._store.begin() as tx:
            found = await InstructionStore(tx.connection).list_page(
                scope=wanted,
                target=target,
                org_id=access.org_of(caller),
                after=_parse_page_token(token),
                limit=size + 1,
            )
        if len(found) <= size:
            return InstructionPage(found)
        return InstructionPage(found[:size], _build_page_token(found[size - 1]))

    async def create(self, caller: Identity, request_id: str, draft: InstructionDraft) -> Instruction:
        """Add an instruction. The same caller's same `request_id` adds one, however often it is sent."""
        now = self._clock.now()
        instruction = Instruction(
            id=access.id_for(caller, request_id),
            target=rules.parse_target(draft),
            title=draft.title,
            content=draft.content,
            priority=draft.priority,
            created_at=now,
            updated_at=now,
        )
        async with self._store.begin() as tx:
            await _check_may_write(tx, caller, instruction.target)
            if await InstructionStore(tx.connection).count(instruction.target) >= rules.MAX_INSTRUCTIONS_PER_TARGET:
                raise TooManyNotes("instructions", rules.MAX_INSTRUCTIONS_PER_TARGET)
            await InstructionStore(tx.connection).insert(instruction)
        return instruction

    async def update(self, caller: Identity, instruction_id: str, wanted: Mapping[str, Any]) -> Instruction:
        """Write fields of an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            before = await self._get_for_update(tx, caller, instruction_id)
            now = rules.apply_changes(before, wanted, self._clock.now())
            await InstructionStore(tx.connection).update(now)
        return now

    async def delete(self, caller: Identity, instruction_id: str) -> None:
        """Delete an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            await InstructionStore(tx.connection).delete(await self._get_for_update(tx, caller, instruction_id))

    async def resolve(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """What an agent is told, as Markdown; empty where that is nothing."""
        async with self._store.begin() as tx:
            await access.reached(tx, caller, workspace_id)
            told = await InstructionStore(tx.connection).list_enabled(workspace_id)
        return rules.render_instructions(told)

    async def _get_for_update(self, tx: Transaction, caller: Identity, instruction_id: str) -> Instruction:
        instruction = await InstructionStore(tx.connection).find_for_update(instruction_id)
        if instruction is None:
            raise InstructionNotFound
        await _check_may_write(tx, caller, instruction.target)
        return instruction


async def _check_may_write(tx: Transaction, caller: Identity, target: WorkspaceId | None) -> None:
    """Let the caller tell somebody something, or everybody."""
    if target is not None:
        await access.writes(tx, caller, target)
    elif caller.kind is Kind.ORG:
        raise PlatformAdminRequired


def _build_page_token(last: Instruction) -> str:
    return pages.encode_page_token([last.target or "", str(-last.priority), last.created_at.isoformat(), last.id])


def _parse_page_token(token: str) -> InstructionPosition | None:
    if not token:
        return None
    target, rank, created_at, instruction_id = pages.decode_page_token(token, 4)
    try:
        return target, int(rank), datetime.fromisoformat(created_at), instruction_id
    except ValueError:
        raise pages.InvalidPageToken from None
