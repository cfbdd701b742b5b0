"""Runs the adapter for a fetched message."""

import logging
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime

from molecule_agent.adapter import BaseAdapter, InputRequired, Turn, TurnError, TurnRejected
from molecule_agent.inbox.messages import (
    FAILURE_TEXT,
    METHOD_NOT_FOUND,
    NO_MESSAGE_TEXT,
    Answer,
    Item,
    build_completed,
    build_ended,
    build_error,
    read_turn,
)
from molecule_agent.task_tracker import TaskTracker
from molecule_agent.turn_context import build_context, use_context

log = logging.getLogger(__name__)

MAX_ANSWER_LENGTH = 4 * 1024 * 1024
"""Characters of an answer; the plane takes 10 MiB of JSON from an agent that polls."""

TOO_LONG_TEXT = "the answer is too long"

FAILED = "failed"

STATES: Mapping[type[TurnError], str] = {TurnRejected: "rejected", InputRequired: "input-required"}
"""The ends that an adapter may choose; any other `TurnError` is a failure."""


class Turns:
    """Runs one adapter."""

    def __init__(self, adapter: BaseAdapter, tracker: TaskTracker) -> None:
        self._adapter = adapter
        self._tracker = tracker

    @property
    def may_run_again(self) -> bool:
        """Whether a message that was begun and not finished may be run again; no if the adapter does not say so."""
        try:
            return self._adapter.may_run_again()
        except Exception:
            log.exception("the adapter could not say whether interrupted messages may run again")
            return False

    async def run(self, item: Item) -> Answer:
        """Return the answer for a message; an adapter that raises makes a failed task, or the one that it chose."""
        turn = read_turn(item)
        if turn is None:
            return build_error(METHOD_NOT_FOUND, NO_MESSAGE_TEXT)
        pieces: list[str] = []
        try:
            with self._tracker.track(turn.text), use_context(build_context(turn, key=item.id)):
                await self._collect(turn, pieces)
        except TurnError as error:
            log.info("message %s ends as %s: %s", item.id, type(error).__name__, error)
            return build_ended(item, turn, STATES.get(type(error), FAILED), str(error), now=datetime.now(UTC))
        except Exception:
            log.exception("message %s failed", item.id)
            return build_ended(item, turn, FAILED, FAILURE_TEXT, now=datetime.now(UTC))
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
