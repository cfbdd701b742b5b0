"""An adapter that answers when the test opens its gate."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from molecule_agent.adapter import BaseAdapter, CardFacts, Turn


class Adapter(BaseAdapter):
    """Yields `begun`, waits for its gate, then yields `ended`; for the message `fail` it raises after the gate."""

    latest: ClassVar["Adapter"]

    def __init__(self, workspace) -> None:
        super().__init__(workspace)
        Adapter.latest = self
        self.gate = asyncio.Event()
        self.turns: list[Turn] = []
        self.interrupted = 0

    def card(self) -> CardFacts:
        return CardFacts(name="Patient", description="Waits.")

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        self.turns.append(turn)
        yield "begun "
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        if turn.text == "fail":
            raise ValueError("a secret of the inside")
        yield "ended"
