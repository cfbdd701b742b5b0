"""Keeps the cards that were rendered last, because rendering and signing a large one takes long."""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.agent_cards import GrpcAddress

MAX_CACHED_BYTES = 8 * 1024 * 1024
"""Bytes of all cards that are kept."""


@dataclass(frozen=True, slots=True)
class CardKey:
    """What the content of a rendered card depends on."""

    card: bytes
    """The digest of the stored card."""
    url: str
    is_current: bool
    polls: bool = False
    """Whether the agent fetches its messages."""
    grpc: GrpcAddress | None = None


@dataclass(frozen=True, slots=True)
class RenderedCard:
    """A card as clients receive it, and its entity tag."""

    body: bytes
    etag: str


class CardCache:
    """Rendered cards, the least recently used first."""

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._cards: OrderedDict[CardKey, RenderedCard] = OrderedDict()
        self._bytes = 0

    def find(self, key: CardKey) -> RenderedCard | None:
        """Return a card that is kept."""
        found = self._cards.get(key)
        if found is not None:
            self._cards.move_to_end(key)
        return found

    def put(self, key: CardKey, rendered: RenderedCard) -> None:
        """Keep a card, and drop others until all fit."""
        replaced = self._cards.pop(key, None)
        self._bytes += len(rendered.body) - (len(replaced.body) if replaced else 0)
        self._cards[key] = rendered
        while self._bytes > self._max_bytes:
            _, dropped = self._cards.popitem(last=False)
            self._bytes -= len(dropped.body)
