"""An adapter that records each turn in a file, and waits for a file before it answers the message `wait`."""

from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, InputRequired, Turn
from tests.waiting import eventually


class Adapter(BaseAdapter):
    def card(self) -> CardFacts:
        return CardFacts(name="Recording", description="Records.")

    def may_run_again(self) -> bool:
        return (self.workspace.root / "repeatable").exists()

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        with (self.workspace.root / "turns").open("a") as turns:
            turns.write(f"{turn.message_id}\n")
        yield f"did {turn.text}"
        if turn.text == "wait":
            await eventually((self.workspace.root / "gate").exists, within=60)
        if turn.text == "ask":
            raise InputRequired("which one?")
