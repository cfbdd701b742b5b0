"""An adapter with native capabilities."""

from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, RuntimeCapabilities, RuntimeState, Turn


class Adapter(BaseAdapter):
    def card(self) -> CardFacts:
        return CardFacts(name=f"Native {self.workspace.model}", description=f"Below {self.workspace.parent_id}.")

    def capabilities(self) -> RuntimeCapabilities:
        return RuntimeCapabilities(provides_native_session=True, provides_native_status_mgmt=True)

    def idle_timeout_override(self) -> int:
        return 600

    def runtime_state(self) -> RuntimeState:
        return RuntimeState.WEDGED

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        yield ""
