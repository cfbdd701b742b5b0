"""Decides who may see and change queued messages."""

from typing import assert_never

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import QueuedMessage
from services.chassis.identity import Identity, Kind


def sees_all(caller: Identity) -> bool:
    """Whether a caller sees the messages of all workspaces."""
    return caller.kind in {Kind.ADMIN, Kind.ANONYMOUS}


def may_see(caller: Identity, message: QueuedMessage, org: WorkspaceId | None) -> bool:
    """Whether a caller may see a message: its sender, its target, and operators of the target's organisation `org`."""
    match caller.kind:
        case Kind.ADMIN | Kind.ANONYMOUS:
            return True
        case Kind.ORG:
            return org is not None and caller.org_id == org
        case Kind.WORKSPACE:
            return caller.name in {message.target_id, message.caller_id}
        case Kind.SERVICE:
            return False
        case _:
            assert_never(caller.kind)
