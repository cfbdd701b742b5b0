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
from services.registry.notes.instructions import rules as notes
from services.registry.notes.instructions.rules import Draft, Instruction
from services.registry.notes.instructions.store import Place
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.model import WorkspaceId


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the instructions, and the token to go on with; empty on the last one."""

    instructions: Sequence[Instruction]
    next: str = ""


class Instructions:
    """Keeps instructions. Those for everybody are the platform's, those for a workspace its organisation's too."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self, caller: Identity, *, scope: str, target: str, size: int, token: str) -> Page:
        """Instructions, those for everybody first; an organisation sees its own."""
        wanted = notes.scope_of(scope) if scope else None
        async with self._store.begin() as tx:
            found = await tx.instructions.page(
                scope=wanted, target=target, org_id=access.get_org_filter(caller), after=_place(token), limit=size + 1
            )
        if len(found) <= size:
            return Page(found)
        return Page(found[:size], _token(found[size - 1]))

    async def create(self, caller: Identity, request_id: str, draft: Draft) -> Instruction:
        """Add an instruction. The same caller's same `request_id` adds one, however often it is sent."""
        now = self._clock.now()
        instruction = Instruction(
            id=access.derive_id(caller, request_id),
            target=notes.target_of(draft),
            title=draft.title,
            content=draft.content,
            priority=draft.priority,
            created_at=now,
            updated_at=now,
        )
        async with self._store.begin() as tx:
            await _check(tx, caller, instruction.target)
            if await tx.instructions.count(instruction.target) >= notes.MOST:
                raise TooManyNotes("instructions", notes.MOST)
            await tx.instructions.put(instruction)
        return instruction

    async def update(self, caller: Identity, instruction_id: str, wanted: Mapping[str, Any]) -> Instruction:
        """Write fields of an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            before = await self._found(tx, caller, instruction_id)
            now = notes.changed(before, wanted, self._clock.now())
            await tx.instructions.save(now)
        return now

    async def delete(self, caller: Identity, instruction_id: str) -> None:
        """Delete an instruction; raises `InstructionNotFound`."""
        async with self._store.begin() as tx:
            await tx.instructions.delete(await self._found(tx, caller, instruction_id))

    async def resolve(self, caller: Identity, workspace_id: WorkspaceId) -> str:
        """What an agent is told, as Markdown; empty where that is nothing."""
        async with self._store.begin() as tx:
            await access.require_access(tx, caller, workspace_id)
            told = await tx.instructions.told(workspace_id)
        return notes.resolved(told)

    async def _found(self, tx: Transaction, caller: Identity, instruction_id: str) -> Instruction:
        instruction = await tx.instructions.find(instruction_id)
        if instruction is None:
            raise InstructionNotFound
        await _check(tx, caller, instruction.target)
        return instruction


async def _check(tx: Transaction, caller: Identity, target: WorkspaceId | None) -> None:
    """Let the caller tell somebody something, or everybody."""
    if target is not None:
        await access.require_writable(tx, caller, target)
    elif caller.kind is Kind.ORG:
        raise PlatformAdminRequired


def _token(last: Instruction) -> str:
    return pages.encode_page_token([last.target or "", str(-last.priority), last.created_at.isoformat(), last.id])


def _place(token: str) -> Place | None:
    if not token:
        return None
    target, rank, created_at, instruction_id = pages.decode_page_token(token, 4)
    try:
        return target, int(rank), datetime.fromisoformat(created_at), instruction_id
    except ValueError:
        raise pages.InvalidPageToken from None
