"""Graphs of LangGraph, without a model."""

import asyncio
from itertools import pairwise
from operator import add
from typing import Annotated

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

GATE: dict[str, asyncio.Event] = {}
"""The gate before the second message of `two_steps`."""


class Counted(MessagesState):
    turns: Annotated[int, add]


def _count(state: Counted) -> dict:
    texts = [message.content for message in state["messages"] if message.type == "human"]
    return {"messages": [AIMessage(f"heard {', '.join(texts)}")], "turns": 1}


def _use_tool(_: MessagesState) -> dict:
    return {"messages": [AIMessage("Looking."), ToolMessage("not for callers", tool_call_id="t")]}


async def _finish(_: MessagesState) -> dict:
    await GATE["gate"].wait()
    return {"messages": [AIMessage([{"type": "text", "text": "Found"}, " it."])]}


def _ask(_: MessagesState) -> dict:
    answer = interrupt("Which colour?")
    return {"messages": [AIMessage(f"painted {answer}")]}


def _fail(_: MessagesState) -> dict:
    raise RuntimeError("a secret of the inside")


def _build(state: type, *nodes) -> StateGraph:
    graph = StateGraph(state)
    names = [START, *(node.__name__ for node in nodes), END]
    for node in nodes:
        graph.add_node(node.__name__, node)
    for start, end in pairwise(names):
        graph.add_edge(start, end)
    return graph


graph = _build(Counted, _count).compile(checkpointer=InMemorySaver(), name="Counter")
two_steps = _build(MessagesState, _use_tool, _finish).compile()
asking = _build(MessagesState, _ask).compile(checkpointer=InMemorySaver())
failing = _build(MessagesState, _fail).compile()
not_compiled = _build(MessagesState, _ask)
