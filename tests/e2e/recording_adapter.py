"""An adapter that writes down each run, and finishes those that begin with `wait` when a file `go` appears.

It is copied into the directory of an agent and loaded from there.
"""

import asyncio
from collections.abc import AsyncIterator

from molecule_agent.adapter import BaseAdapter, CardFacts, Turn

PAUSE_SECONDS = 0.02


class Adapter(BaseAdapter):
    """Answers with the text in capital letters."""

    def card(self) -> CardFacts:
        return CardFacts(name="Recorder", description="Writes down each run.")

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        with (self.workspace.root / "runs.txt").open("a") as runs:
            runs.write(f"{turn.text}\n")
        while turn.text.startswith("wait") and not (self.workspace.root / "go").exists():  # noqa: ASYNC110 - the test is another process
            await asyncio.sleep(PAUSE_SECONDS)
        yield turn.text.upper()
