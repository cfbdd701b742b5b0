"""The adapter of compiled graphs of LangGraph, whose state has `messages`."""

import importlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from langgraph.types import Command

from molecule_agent.adapter import AdapterError, BaseAdapter, CardFacts, InputRequired, Skill, Turn, Workspace
from molecule_agent.adapters.options import Options

ANSWER_TYPES = {"ai", "AIMessageChunk"}
"""The types of messages that are part of the answer."""


class Adapter(BaseAdapter):
    """Runs the graph of MOLECULE_LANGGRAPH_GRAPH once for each message; the thread of the graph is the conversation."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._graph = _import_graph(Options(workspace.environment).require_text("MOLECULE_LANGGRAPH_GRAPH"))

    def card(self) -> CardFacts:
        return CardFacts(
            name=str(self._graph.name),
            description="Answers with a graph of LangGraph.",
            skills=[Skill(id="run", name="Run", description="Runs the graph on a message.", tags=["langgraph"])],
        )

    def may_run_again(self) -> bool:
        """A graph may have acted on the world already."""
        return False

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        config = {"configurable": {"thread_id": turn.context_id}}
        given = await self._build_input(turn.text, config)
        last_id = ""
        async with aclosing(self._graph.astream(given, config, stream_mode=["messages", "updates"])) as events:
            async for mode, event in events:
                if mode == "updates":
                    _raise_interrupt(event)
                    continue
                message, _ = event
                text = _read_text(message)
                if message.type in ANSWER_TYPES and text:
                    yield f"\n\n{text}" if last_id and message.id != last_id else text
                    last_id = message.id or last_id

    async def _build_input(self, text: str, config: dict[str, Any]) -> object:
        """Return the input of the graph: the answer to its interrupt if it waits for one, else a message."""
        if self._graph.checkpointer:
            state = await self._graph.aget_state(config)
            if any(task.interrupts for task in state.tasks):
                return Command(resume=text)
        return {"messages": [{"role": "user", "content": text}]}


def _import_graph(path: str) -> Any:  # noqa: ANN401 - the types of a graph are those of its state
    """Return the graph at `module:name`; raises AdapterError."""
    module, _, name = path.partition(":")
    try:
        graph = getattr(importlib.import_module(module), name or "graph")
    except (ImportError, AttributeError, ValueError) as error:
        raise AdapterError(f"MOLECULE_LANGGRAPH_GRAPH {path}: {error}") from error
    if not hasattr(graph, "astream"):
        raise AdapterError(f"MOLECULE_LANGGRAPH_GRAPH {path}: this is no compiled graph; call compile()")
    return graph


def _raise_interrupt(update: dict[str, Any]) -> None:
    for interrupt in update.get("__interrupt__") or ():
        raise InputRequired(str(interrupt.value))


def _read_text(message: Any) -> str:  # noqa: ANN401 - a message of LangChain
    """Return the text of a message, whose content is a text or a list of blocks."""
    if isinstance(message.content, str):
        return message.content
    blocks = (block if isinstance(block, dict) else {"text": block} for block in message.content)
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type", "text") == "text")
