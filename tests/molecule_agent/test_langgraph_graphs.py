"""The adapter of graphs of LangGraph."""

import asyncio

import pytest

from molecule_agent.adapter import AdapterError, InputRequired
from tests.molecule_agent import graphs
from tests.molecule_agent.adapter_turns import make_adapter, make_turn, read_answer, read_until_the_end


def make_graph(name, tmp_path):
    return make_adapter("langgraph", tmp_path, MOLECULE_LANGGRAPH_GRAPH=f"tests.molecule_agent.graphs{name}")


async def test_a_conversation_is_a_thread_of_the_graph(tmp_path):
    adapter = make_graph("", tmp_path)
    assert adapter.card().name == "Counter"
    assert await read_answer(adapter, "one", context_id="thread-a") == ["heard one"]
    assert await read_answer(adapter, "two", context_id="thread-a") == ["heard one, two"]
    assert await read_answer(adapter, "three", context_id="thread-b") == ["heard three"]


async def test_messages_of_the_graph_are_streamed_and_those_of_tools_are_not(tmp_path):
    graphs.GATE["gate"] = asyncio.Event()
    answer = make_graph(":two_steps", tmp_path).answer(make_turn("x"))

    assert await anext(answer) == "Looking."
    graphs.GATE["gate"].set()
    assert [piece async for piece in answer] == ["\n\nFound it."]


async def test_an_interrupt_is_a_question_and_the_next_message_its_answer(tmp_path):
    adapter = make_graph(":asking", tmp_path)

    assert await read_until_the_end(adapter, "paint", InputRequired) == ("", "Which colour?")
    assert await read_answer(adapter, "blue", message_id="m2") == ["painted blue"]


async def test_an_exception_of_the_graph_fails_the_turn(tmp_path):
    with pytest.raises(RuntimeError):
        await read_answer(make_graph(":failing", tmp_path), "x")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("tests.molecule_agent.no_module", "No module named"),
        ("tests.molecule_agent.graphs:missing", "has no attribute"),
        ("tests.molecule_agent.graphs:not_compiled", "no compiled graph"),
        (":", "Empty module name"),
    ],
)
def test_what_is_no_graph_is_refused_at_the_start(tmp_path, path, why):
    with pytest.raises(AdapterError, match=why):
        make_adapter("langgraph", tmp_path, MOLECULE_LANGGRAPH_GRAPH=path)
