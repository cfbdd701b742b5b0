"""Decides who may see and use a task."""

from collections.abc import Iterable, Mapping

from molecule_a2a.methods import find_method
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS
from services.a2a_proxy.tasks.model import TaskOwner


def may_see(caller: TaskOwner, owner: TaskOwner, owner_org_id: str | None) -> bool:
    """Whether a caller may see the tasks of an owner; `owner_org_id` is the organisation of an owning workspace.

    A workspace and a token of an organisation see their own tasks. A caller that acts for an organisation sees those of
    all its tokens and workspaces, and the operator of the plane sees all.
    """
    if caller.workspace_id is not None:
        return caller.workspace_id == owner.workspace_id
    if caller.token_id is not None:
        return caller == owner
    if caller.org_id is not None:
        return caller.org_id == (owner_org_id if owner.workspace_id is not None else owner.org_id)
    return True


def sees_all(caller: TaskOwner) -> bool:
    """Whether a caller sees the tasks of all owners."""
    return caller == TaskOwner()


def may_use(method: str, caller: TaskOwner, task_ids: Iterable[str], visible: Mapping[str, bool]) -> bool:
    """Whether a request may name these tasks; `visible` says of the known ones whether the caller sees them.

    Nobody uses a task of another owner. A workspace or a token that sees its own tasks uses no task that the plane does
    not know either, except in a message, whose task the agent may have made by other means; and what A2A does not have
    is left to the agent.
    """
    known = find_method(method)
    sees_own_only = caller.workspace_id is not None or caller.token_id is not None
    may_be_unknown = not sees_own_only or known is None or known.operation in MESSAGE_OPERATIONS
    return all(visible.get(id_, may_be_unknown) for id_ in task_ids)
