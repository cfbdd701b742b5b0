"""Runs the adapter for a fetched message."""

import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from molecule_agent.adapter import BaseAdapter, Turn
from molecule_agent.inbox.messages import (
    METHOD_NOT_FOUND,
    NO_MESSAGE_TEXT,
    Answer,
    Item,
    build_completed,
    build_error,
    build_failed,
    read_turn,
)
from molecule_agent.task_tracker import TaskTracker
from molecule_agent.turn_context import build_context, use_context

log = logging.getLogger(__name__)

MAX_ANSWER_LENGTH = 4 * 1024 * 1024
"""Characters of an answer; the plane takes 10 MiB of JSON from an agent that polls."""

TOO_LONG_TEXT = "the answer is too long"


class Turns:
    """Runs one adapter."""

    def __init__(self, adapter: BaseAdapter, tracker: TaskTracker) -> None:
        self._adapter = adapter
        self._tracker = tracker

    @property
    def may_run_again(self) -> bool:
        """Whether a message that was begun and not finished may be run again; no if the adapter does not say so."""
        try:
            return self._adapter.capabilities().idempotent_delivery
        except Exception:
            log.exception("the adapter could not declare its capabilities")
            return False

    async def run(self, item: Item) -> Answer:
        """Return the answer for a message; an adapter that raises makes a failed task."""
        turn = read_turn(item)
        if turn is None:
            return build_error(METHOD_NOT_FOUND, NO_MESSAGE_TEXT)
        pieces: list[str] = []
        try:
            with self._tracker.track(turn.text), use_context(build_context(turn, key=item.id)):
                await self._collect(turn, pieces)
        except Exception:
            log.exception("message %s failed", item.id)
            return build_failed(item, turn, now=datetime.now(UTC))
        return build_completed(item, turn, "".join(pieces), now=datetime.now(UTC))

    async def _collect(self, turn: Turn, pieces: list[str]) -> None:
        length = 0
        answer = self._adapter.answer(turn)
        try:
            async for piece in answer:
                length += len(piece)
                if length > MAX_ANSWER_LENGTH:
                    raise ValueError(TOO_LONG_TEXT)
                pieces.append(piece)
        finally:
            # A generator that is interrupted between two pieces cleans up now, not when it is collected.
            if isinstance(answer, AsyncGenerator):
                await answer.aclose()
