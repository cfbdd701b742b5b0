"""Runs the adapter for a message and publishes its answer as A2A events."""

import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import uuid4

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Message, Part, Task, TaskState, TaskStatus
from google.protobuf.json_format import MessageToDict

from molecule_agent.adapter import BaseAdapter, InputRequired, Turn, TurnError, TurnRejected
from molecule_agent.task_tracker import TaskTracker
from molecule_agent.turn_context import build_context, use_context

log = logging.getLogger(__name__)

FAILURE_TEXT = "The agent could not answer; its log says why."
"""The only text that callers receive about an exception which is no `TurnError`."""

INTERRUPTED_TEXT = "The agent was stopped while it worked on this message."
"""The text for a message that must not run a second time after a restart."""


class Executor(AgentExecutor):
    """Creates one task for each message, with one artifact that has a part for each piece of the answer."""

    def __init__(self, adapter: BaseAdapter, tracker: TaskTracker) -> None:
        self._adapter = adapter
        self._tracker = tracker

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        turn = _build_turn(context)
        task = TaskUpdater(event_queue, turn.task_id, turn.context_id)
        if context.current_task is None:
            await event_queue.enqueue_event(_build_task(turn, context.message))
        else:
            await task.start_work()
        try:
            with self._tracker.track(turn.text), use_context(build_context(turn)):
                await self._send_answer(turn, task)
        except TurnError as error:
            await _end_task(task, error)
        except Exception:
            log.exception("task %s failed", turn.task_id)
            await task.failed(task.new_agent_message([Part(text=FAILURE_TEXT)]))
        else:
            await task.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Publish the end of the task; the SDK interrupts the adapter afterwards, so the task always has an end."""
        log.info("task %s cancelled", context.task_id)
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()

    async def _send_answer(self, turn: Turn, task: TaskUpdater) -> None:
        artifact = str(uuid4())
        is_started = False
        answer = self._adapter.answer(turn)
        try:
            async for piece in answer:
                if piece:
                    await task.add_artifact([Part(text=piece)], artifact_id=artifact, name="answer", append=is_started)
                    is_started = True
        finally:
            # A generator that is interrupted between two pieces cleans up now, not when it is collected.
            if isinstance(answer, AsyncGenerator):
                await answer.aclose()


async def _end_task(task: TaskUpdater, error: TurnError) -> None:
    """Publish the end that the adapter has chosen, with its text."""
    message = task.new_agent_message([Part(text=str(error))])
    log.info("task %s ends as %s: %s", task.task_id, type(error).__name__, error)
    if isinstance(error, InputRequired):
        await task.requires_input(message)
    elif isinstance(error, TurnRejected):
        await task.reject(message)
    else:
        await task.failed(message)


def _build_turn(context: RequestContext) -> Turn:
    message = context.message or Message()
    return Turn(
        text=context.get_user_input(),
        parts=[MessageToDict(part) for part in message.parts],
        context_id=context.context_id or "",
        message_id=message.message_id,
        task_id=context.task_id or "",
        metadata=MessageToDict(message.metadata),
    )


def _build_task(turn: Turn, message: Message | None) -> Task:
    status = TaskStatus(state=TaskState.TASK_STATE_WORKING)
    status.timestamp.FromDatetime(datetime.now(UTC))
    return Task(
        id=turn.task_id,
        context_id=turn.context_id,
        status=status,
        history=[message] if message else [],
    )
