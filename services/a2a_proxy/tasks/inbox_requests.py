"""Answers requests to agents that fetch their messages, and admits the messages to their inboxes.

For the callers of such an agent the plane is the server of A2A: it judges what an agent that is dialled judges itself.
"""

from dataclasses import replace

from molecule_a2a.errors import INVALID_PARAMS, TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from molecule_a2a.methods import find_method
from molecule_a2a.model import Operation
from services.a2a_proxy.json_values import get_object
from services.a2a_proxy.model import Answer, DeliveryMode, Envelope, IncomingMessage
from services.a2a_proxy.task_references import MESSAGE_OPERATIONS
from services.a2a_proxy.tasks import lists, poll_requests, views
from services.a2a_proxy.tasks.access import TaskAccess, get_viewer
from services.a2a_proxy.tasks.lookup import TaskLookup
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.responses import answer_error, answer_result, build_fault, choose_dialect
from services.chassis import strict_json
from services.chassis.large_bodies import run_by_size

NO_TASK_ID = "invalid params: the id of the task is required"

TASK_ENDED = "the task has ended: it takes no further message"

OTHER_CONTEXT = "invalid params: the task belongs to another context"


class InboxRequests:
    """Judges requests to agents that fetch their messages."""

    def __init__(self, queued: QueuedTasks, lookup: TaskLookup, access: TaskAccess) -> None:
        self._queued = queued
        self._lookup = lookup
        self._access = access

    async def admit(self, incoming: IncomingMessage, envelope: Envelope) -> Answer | Envelope:
        """Return the answer to a request, or the message to store, which names the context of its task.

        A bare body is stored as it is. Any other request than a message is not queued: nobody could read what the
        agent answers. Raises `MalformedMessage`, and `Unavailable` if a task cannot be found.
        """
        if not envelope.is_json_rpc:
            return envelope
        fault = await run_by_size(len(envelope.body), poll_requests.find_fault, envelope)
        if fault is not None:
            return answer_error(envelope, fault.code, fault.text)
        known = find_method(envelope.method)
        operation = None if known is None else known.operation
        if operation in MESSAGE_OPERATIONS:
            return await self._continue_task(incoming, envelope)
        if operation is Operation.LIST_TASKS:
            return await self._list(incoming, envelope)
        if not envelope.references.task_ids:
            raise build_fault(envelope, NO_TASK_ID)
        return answer_error(envelope, TASK_NOT_FOUND)

    async def _continue_task(self, incoming: IncomingMessage, envelope: Envelope) -> Answer | Envelope:
        """Return a message in the context of the task that it continues, or why it continues none."""
        references = envelope.references
        if references.continued_id is None:
            return envelope
        found = await self._lookup.find(incoming.target, [references.continued_id], DeliveryMode.POLL)
        task = found.get(references.continued_id)
        if task is None:
            return answer_error(envelope, TASK_NOT_FOUND)
        message = task.message
        if message is None:  # a task that the agent made while it was dialled
            return envelope
        if views.has_ended(message):
            return answer_error(envelope, UNSUPPORTED_OPERATION, TASK_ENDED)
        context_id = views.choose_context_id(message.id, message.context_id)
        if references.context_id not in {None, context_id, views.find_agent_context(message)}:
            return answer_error(envelope, INVALID_PARAMS, OTHER_CONTEXT)
        return replace(envelope, references=replace(references, context_id=references.context_id or context_id))

    async def _list(self, incoming: IncomingMessage, envelope: Envelope) -> Answer:
        try:
            query = lists.parse_query(get_object(strict_json.parse(envelope.body), "params"))
        except lists.InvalidQueryError as invalid:
            raise build_fault(envelope, f"invalid params: {invalid}") from None
        caller, dialect = get_viewer(incoming), choose_dialect(envelope)
        workspaces = self._access.list_workspaces(caller)
        page = await self._queued.list_tasks(incoming.target, caller, workspaces, query, dialect)
        return answer_result(envelope, page)
