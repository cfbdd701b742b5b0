"""Turns of adapters without an agent around them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from molecule_agent.adapter import BaseAdapter, Tool, Turn, TurnError, Workspace
from molecule_agent.adapter_loader import load_adapter


def make_turn(text: str, *, context_id: str = "c1", message_id: str = "m1") -> Turn:
    return Turn(
        text=text,
        parts=[{"text": text}],
        context_id=context_id,
        message_id=message_id,
        task_id=f"task-of-{message_id}",
        metadata={},
    )


def make_adapter(
    name: str, root: Path, *, model: str | None = None, tools: Sequence[Tool] = (), **environment: str
) -> BaseAdapter:
    workspace = Workspace(id="w", model=model, root=root, environment=environment, model_tools=tools)
    return load_adapter(name, workspace)


async def read_answer(adapter: BaseAdapter, text: str, **more: str) -> list[str]:
    return [piece async for piece in adapter.answer(make_turn(text, **more)) if piece]


class Adder:
    """A tool that adds two numbers."""

    name = "add"
    description = "Adds two numbers."
    input_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }

    async def call(self, arguments: dict[str, Any]) -> str:
        return str(arguments["a"] + arguments["b"])


class BrokenTool(Adder):
    """A tool that always fails."""

    async def call(self, arguments: dict[str, Any]) -> str:
        raise RuntimeError("the abacus is lost")


async def read_until_the_end(adapter: BaseAdapter, text: str, end: type[TurnError], **more: str) -> tuple[str, str]:
    """Return the text that came before the turn ended with `end`, and the text of the end."""
    pieces = []
    try:
        async for piece in adapter.answer(make_turn(text, **more)):
            pieces.append(piece)  # noqa: PERF401 - the loop ends with an exception
    except end as error:
        return "".join(pieces), str(error)
    raise AssertionError(f"answered {pieces}")
