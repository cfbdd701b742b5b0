"""An adapter that counts, fifty numbers a second, as far as the message says."""

import asyncio
from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, Skill, Turn

INTERVAL_SECONDS = 0.02


class Adapter(BaseAdapter):
    """Counts to the number in the message."""

    def card(self) -> CardFacts:
        skill = Skill(id="count", name="Count", description="Counts.", tags=["count"], examples=["9"])
        return CardFacts(name="Counter", description="Counts.", skills=[skill])

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        for number in range(int(turn.text)):
            await asyncio.sleep(INTERVAL_SECONDS)
            yield f"{number} "
