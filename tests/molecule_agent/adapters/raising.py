"""An adapter whose methods raise, except `card`."""

from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, RuntimeCapabilities, RuntimeState, Turn


class Adapter(BaseAdapter):
    def card(self) -> CardFacts:
        return CardFacts(name="Raising", description="Raises.")

    def capabilities(self) -> RuntimeCapabilities:
        raise RuntimeError("no capabilities")

    def runtime_state(self) -> RuntimeState:
        raise RuntimeError("no state")

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        raise RuntimeError("no answer")
        yield
