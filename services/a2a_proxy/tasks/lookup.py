"""Finds what is known of the tasks that a request names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.a2a_proxy.model import DeliveryMode, WorkspaceId
from services.a2a_proxy.queue.model import QueuedMessage
from services.a2a_proxy.tasks.model import TaskOwner
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.register import TaskRegister

QUEUE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class FoundTask:
    """What is known of a task that a request names; `message` is the queued message that stands for it."""

    owner: TaskOwner
    message: QueuedMessage | None = None


class TaskLookup:
    """Finds tasks of agents in the register, and queued messages in the queue."""

    def __init__(self, register: TaskRegister, queued: QueuedTasks) -> None:
        self._register = register
        self._queued = queued

    async def find(self, target: WorkspaceId, ids: Sequence[str], mode: DeliveryMode) -> Mapping[str, FoundTask]:
        """Return those of the tasks of a workspace that are known; raises `Unavailable`."""
        known = await self._register.find(target, ids)
        queue_ids: dict[str, str] = {}
        for id_ in ids:
            if id_ not in known:
                if QUEUE_ID.fullmatch(id_):
                    queue_ids[id_] = id_
            elif (queue_id := known[id_].queue_id) is not None and mode is DeliveryMode.POLL:
                queue_ids[id_] = queue_id
        messages = await self._queued.find(target, list(queue_ids.values())) if queue_ids else {}
        found = {id_: FoundTask(task.owner) for id_, task in known.items()}
        for id_, queue_id in queue_ids.items():
            message = messages.get(queue_id)
            if message is not None:
                caller = TaskOwner(message.caller_id, message.caller_org_id, message.caller_token_id)
                found[id_] = FoundTask(found[id_].owner if id_ in found else caller, message)
        return found
