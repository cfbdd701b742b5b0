"""An adapter that ends each turn as the message says."""

from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, InputRequired, Turn, TurnFailed, TurnRejected

ENDS = {"fail": TurnFailed, "reject": TurnRejected, "ask": InputRequired}


class Adapter(BaseAdapter):
    def __init__(self, workspace) -> None:
        super().__init__(workspace)
        self.is_closed = False

    def card(self) -> CardFacts:
        return CardFacts(name="Ending", description="Ends as it is told.")

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        yield f"heard {turn.text}"
        if end := ENDS.get(turn.text):
            raise end(f"told to {turn.text}")

    async def close(self) -> None:
        (self.workspace.root / "closed").touch()
