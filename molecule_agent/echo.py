"""The default adapter: it answers every message with its own text."""

from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, Skill, Turn

PIECES = 3
"""Pieces of an answer: enough to see that it streams."""


class Adapter(BaseAdapter):
    """Answers every message with its own text."""

    def card(self) -> CardFacts:
        return CardFacts(
            name="Echo",
            description="Answers every message with its own text.",
            skills=[
                Skill(id="echo", name="Echo", description="Says what it hears.", tags=["echo"], examples=["hello"])
            ],
        )

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        length = -(-len(turn.text) // PIECES) or 1
        for start in range(0, len(turn.text), length):
            yield turn.text[start : start + length]
