"""The turn that the running code answers: what a tool needs to know about the message it is used for."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from molecule_agent.adapter import Turn


@dataclass(slots=True)
class TurnContext:
    """One run of the adapter for one message."""

    key: str = ""
    """Identifies the message over restarts of the agent; empty if nothing does."""
    lineage_token: str | None = None
    """Tells the plane which delegation the agent works on."""
    _requests: Counter[str] = field(default_factory=Counter)

    def derive_request_key(self, *content: str) -> str | None:
        """Return a key that a second run for the same message gives to the same request; None without an identity.

        The first, second and later requests with one content are different requests.
        """
        if not self.key:
            return None
        digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
        self._requests[digest] += 1
        return hashlib.sha256(f"{self.key} {digest} {self._requests[digest]}".encode()).hexdigest()


_current: ContextVar[TurnContext | None] = ContextVar("turn", default=None)


def get_turn_context() -> TurnContext:
    """The context of the turn that the running code answers; an empty one outside of turns."""
    return _current.get() or TurnContext()


@contextmanager
def use_context(context: TurnContext) -> Iterator[None]:
    """Make this context the current one for the block and for the tasks that it starts."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def build_context(turn: Turn, *, key: str = "") -> TurnContext:
    """Build the context of a turn; `key` identifies its message.

    A delegated message has an id that is unique in the plane, so it needs no other key. Other callers choose their
    ids themselves, and two of them may choose the same.
    """
    token = turn.metadata.get("lineage_token")
    lineage_token = token if isinstance(token, str) and token else None
    return TurnContext(key=key or (turn.message_id if lineage_token else ""), lineage_token=lineage_token)
