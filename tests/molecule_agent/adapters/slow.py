"""An adapter that answers slowly, so that a test can stop the agent meanwhile."""

import asyncio
from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, Turn


class Adapter(BaseAdapter):
    def card(self) -> CardFacts:
        return CardFacts(name="Slow", description="Takes a second and a half.")

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        yield "slowly "
        await asyncio.sleep(1.5)
        yield turn.text
