"""The adapter of the `claude` program, with a program that speaks its stream format."""

import asyncio
import json
import shlex
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_agent.adapter import TurnFailed
from molecule_agent.adapters.claude_stream import ClaudeStream
from molecule_agent.heartbeat import build_runtime_metadata
from tests.molecule_agent.adapter_turns import make_adapter, make_turn, read_answer, read_until_the_end
from tests.waiting import eventually

FAKE = Path(__file__).parent / "fake_claude.py"

SESSION = "0b8f6a52-6a0e-4d3a-9d1e-3a1f1f0f7a11"
"""The session of the program."""


@pytest.fixture
def claude(tmp_path) -> str:
    """The path of the program."""
    program = tmp_path / "claude"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} "$@"\n')
    program.chmod(0o755)
    return str(program)


def read_calls(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "workspace" / "calls.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("prompt", ["hello", "whole messages"])
async def test_the_answer_is_the_text_of_the_agent_without_tools_and_subagents(tmp_path, claude, prompt):
    adapter = make_adapter("claude-code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)

    assert "".join(await read_answer(adapter, prompt)) == f"Let me look.\n\nYou said: {prompt}"


async def test_text_is_streamed_in_pieces(tmp_path, claude):
    adapter = make_adapter("claude-code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)

    assert (await read_answer(adapter, "hello"))[:3] == ["Let ", "me l", "ook."]


async def test_the_result_is_the_answer_if_no_message_came(tmp_path, claude):
    adapter = make_adapter("claude_code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)

    assert await read_answer(adapter, "silent") == ["said at the end"]


async def test_a_conversation_continues_its_session_and_another_begins_its_own(tmp_path, claude):
    adapter = make_adapter("claude-code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)
    for message, context in [("one", "a"), ("two", "a"), ("three", "b")]:
        await read_answer(adapter, message, context_id=context)

    first, second, third = (call["arguments"] for call in read_calls(tmp_path))
    assert "--resume" not in first
    assert second[second.index("--resume") + 1] == SESSION
    assert "--resume" not in third


async def test_the_program_learns_model_instructions_and_more_arguments(tmp_path, claude):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "system-prompt.md").write_text("Be brief.\n")
    more = "--permission-mode acceptEdits"
    adapter = make_adapter(
        "claude-code",
        tmp_path,
        model="anthropic/claude-opus-4-5",
        MOLECULE_CLAUDE_PROGRAM=claude,
        MOLECULE_CLAUDE_ARGUMENTS=more,
    )
    await read_answer(adapter, "--help is what I ask about")

    (call,) = read_calls(tmp_path)
    assert call["prompt"] == "--help is what I ask about"
    assert call["arguments"] == [
        *("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"),
        *("--model", "claude-opus-4-5", "--append-system-prompt", "Be brief.", *more.split()),
    ]


@pytest.mark.parametrize(
    ("prompt", "why"),
    [("crash", "exit code 139 before it had answered"), ("give up", "ended with error_max_turns")],
)
async def test_a_run_that_does_not_succeed_fails_the_task(tmp_path, claude, prompt, why):
    adapter = make_adapter("claude-code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)

    _, text = await read_until_the_end(adapter, prompt, TurnFailed)

    assert why in text


async def test_messages_of_one_conversation_run_one_after_the_other(tmp_path, claude):
    adapter = make_adapter("claude-code", tmp_path, MOLECULE_CLAUDE_PROGRAM=claude)
    hanging = adapter.answer(make_turn("hang"))
    assert await anext(hanging) == "begun"

    waiting = asyncio.create_task(read_answer(adapter, "next", message_id="m2"))
    other = "".join(await read_answer(adapter, "elsewhere", context_id="c2"))

    assert other.endswith("You said: elsewhere")
    assert not waiting.done()
    await hanging.aclose()
    assert "".join(await waiting).endswith("You said: next")
    (prompts := [call["prompt"] for call in read_calls(tmp_path)]).sort()
    assert prompts == ["elsewhere", "hang", "next"]
    await eventually(lambda: not _list_children())


@pytest.mark.covers("AGT-03")
def test_claude_code_may_be_silent_for_ten_minutes_and_has_a_session_of_its_own(tmp_path):
    declared = build_runtime_metadata(make_adapter("claude-code", tmp_path))

    assert declared["idle_timeout_seconds"] == 600
    assert declared["capabilities"]["session"] is True


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps))
def test_a_line_of_any_other_kind_adds_nothing(line):
    stream = ClaudeStream()

    assert stream.feed(line) == ""
    assert (stream.session_id, stream.has_ended, stream.failure) == ("", False, "")


@given(
    st.dictionaries(
        st.sampled_from(["type", "event", "message", "delta", "content", "subtype", "result", "session_id"]),
        st.sampled_from(["stream_event", "assistant", "result", "success", 7, None, [], {}, [{"type": "text"}], [3]]),
    )
)
def test_an_event_of_any_shape_is_read_without_an_error(event):
    assert isinstance(ClaudeStream().feed(json.dumps(event)), str)


def _list_children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if _is_fake_claude(one)]


def _is_fake_claude(process: psutil.Process) -> bool:
    try:
        return "fake_claude.py" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has ended meanwhile, also if nobody has fetched its status yet
        return False
