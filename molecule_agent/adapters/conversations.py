"""Keeps the state of conversations in memory, bounded in number; the messages of each also in size."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

MAX_CONVERSATIONS = 200
"""Conversations that are remembered; the ones that were used last."""

MAX_TURNS = 100
"""Turns of a conversation that are remembered."""

MAX_TURN_CHARACTERS = 400_000
"""Characters of the turns that are remembered; about a hundred thousand tokens, which most models take."""

State = TypeVar("State")


class Conversations(Generic[State]):
    """The states of conversations by context id. One turn of a conversation runs at a time."""

    def __init__(self, create: type[State], *, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._create = create
        self._max_conversations = max_conversations
        self._known: OrderedDict[str, tuple[asyncio.Lock, State]] = OrderedDict()

    @asynccontextmanager
    async def use(self, context_id: str) -> AsyncIterator[State]:
        """Wait for the turn before in the same conversation, then lend its state."""
        lock, state = self._known.setdefault(context_id, (asyncio.Lock(), self._create()))
        self._known.move_to_end(context_id)
        while len(self._known) > self._max_conversations:
            self._known.popitem(last=False)
        async with lock:
            yield state


class History:
    """The turns of one conversation, each a list of messages in the form of a provider."""

    def __init__(self) -> None:
        self._turns: list[tuple[list[Any], int]] = []

    @property
    def messages(self) -> list[Any]:
        """All messages, from the first turn that is remembered."""
        return [message for messages, _ in self._turns for message in messages]

    def add_turn(self, messages: list[Any]) -> None:
        """Remember a turn that has ended, and forget the oldest ones that exceed the limits. A turn stays whole."""
        self._turns.append((messages, len(repr(messages))))
        while len(self._turns) > 1 and (
            len(self._turns) > MAX_TURNS or sum(size for _, size in self._turns) > MAX_TURN_CHARACTERS
        ):
            del self._turns[0]
