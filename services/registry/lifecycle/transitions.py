"""Applies facts to workspaces: the one place that decides, saves, publishes and logs a change of status.

The caller locks the row and passes the workspace that it read under the lock. The transaction writes what was saved at
its end, under a new revision and together with the events. Where a caller of an RPC asked for the change, an audit
record is written in the same transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from services.chassis.identity import Identity
from services.registry.store.transaction import Transaction
from services.registry.workspace import events, state_machine
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.events import EventDraft
from services.registry.workspace.facts import Fact
from services.registry.workspace.model import Workspace

F = TypeVar("F", bound=Fact)

log = structlog.get_logger()


def apply(
    tx: Transaction,
    before: Workspace,
    fact: F,
    *,
    decide: Callable[[Workspace, F], Workspace] = state_machine.next_state,
    build_events: Callable[[Workspace, Workspace, F], Sequence[EventDraft]] = events.build_change_events,
) -> Workspace:
    """Apply `fact` to a locked workspace; return it as it is then.

    Returns the same object, and saves nothing, if `decide` does. `decide` and `build_events` replace the state machine
    and its events where a fact also carries fields to store.
    """
    after = decide(before, fact)
    if after is before:
        return before
    tx.save(after, *build_events(before, after, fact))
    if (before.status, before.generation) != (after.status, after.generation):
        log.info(
            "status changed",
            workspace=after.id,
            status=after.status,
            before=before.status,
            reason=after.status_reason,
            generation=after.generation,
        )
    return after


async def apply_for_caller(
    tx: Transaction,
    caller: Identity,
    action: AuditAction,
    facts: Iterable[tuple[Workspace, Fact]],
    **details: object,
) -> list[Workspace]:
    """Apply a fact to each of the locked workspaces, with one audit record for each changed one; return these."""
    changed = [after for before, fact in facts if (after := apply(tx, before, fact)) is not before]
    await tx.audit_outbox.add(caller, action, *changed, **details)
    return changed
