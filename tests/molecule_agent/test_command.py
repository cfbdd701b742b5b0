"""The adapter of any program."""

import asyncio
import os
import shlex
import sys
from contextlib import suppress

import psutil
import pytest

from molecule_agent.adapter import AdapterError, InputRequired, TurnFailed, TurnRejected
from molecule_agent.adapters.command import parse_exit_codes
from tests.molecule_agent.adapter_turns import make_adapter, make_turn, read_answer, read_until_the_end
from tests.waiting import eventually


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


async def test_a_program_reads_the_message_and_prints_the_answer(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="tr a-z A-Z")

    assert "".join(await read_answer(adapter, "grüße\nan alle")) == "GRüßE\nAN ALLE"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("echo -n [ {prompt} ]", "[ $HOME; ls ]"),
        ("echo -n told:{prompt}", "told:$HOME; ls"),
        ("echo -n", "$HOME; ls"),
    ],
    ids=["word", "inside", "last"],
)
async def test_a_message_as_an_argument_is_one_word_and_never_a_command(tmp_path, command, answer):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND=command, MOLECULE_COMMAND_PROMPT="argument")

    assert "".join(await read_answer(adapter, "$HOME; ls")) == answer


async def test_a_message_that_cannot_be_an_argument_is_rejected(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="echo", MOLECULE_COMMAND_PROMPT="argument")

    with pytest.raises(TurnRejected):
        await read_answer(adapter, "x" * 200_000)


async def test_output_is_streamed_while_the_program_runs(tmp_path):
    program = "import sys; print('one', flush=True); open('waits', 'w').close(); sys.stdin.read(); print('two')"
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND=f"sh -c {shlex.quote(f'{python(program)} < fifo')}")
    (tmp_path / "workspace").mkdir()
    os.mkfifo(tmp_path / "workspace" / "fifo")
    answer = adapter.answer(make_turn(""))
    first = asyncio.ensure_future(anext(answer))
    with await asyncio.to_thread((tmp_path / "workspace" / "fifo").open, "w"):
        assert await asyncio.wait_for(first, 30) == "one\n"

    assert "".join([piece async for piece in answer]) == "two\n"


async def test_a_program_learns_its_message_and_has_the_variables_of_the_workspace(tmp_path):
    adapter = make_adapter(
        "command",
        tmp_path,
        MOLECULE_COMMAND="sh -c 'echo $MESSAGE_ID $CONTEXT_ID $TASK_ID $SECRET $PWD'",
        SECRET="s3cret",
    )

    answer = await read_answer(adapter, "x", context_id="talk", message_id="m7")

    assert "".join(answer) == f"m7 talk task-of-m7 s3cret {tmp_path}/workspace\n"


@pytest.mark.parametrize(
    ("code", "end"), [(1, TurnFailed), (3, InputRequired), (4, TurnRejected)], ids=["failed", "question", "rejected"]
)
async def test_exit_codes_end_the_task_as_they_are_mapped(tmp_path, code, end):
    adapter = make_adapter(
        "command",
        tmp_path,
        MOLECULE_COMMAND=f"sh -c 'echo so far; exit {code}'",
        MOLECULE_COMMAND_EXIT_CODES="3=input-required, 4=rejected",
    )

    so_far, _ = await read_until_the_end(adapter, "x", end)

    assert so_far == "so far\n"


@pytest.mark.parametrize("text", ["0=failed", "256=failed", "x=failed", "1=odd", "1"])
def test_a_wrong_map_of_exit_codes_is_refused(text):
    with pytest.raises(AdapterError, match="MOLECULE_COMMAND_EXIT_CODES must be"):
        parse_exit_codes(text)


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "MOLECULE_COMMAND is required"),
        ({"MOLECULE_COMMAND": "echo 'open"}, "MOLECULE_COMMAND is no command line"),
        (
            {"MOLECULE_COMMAND": "cat", "MOLECULE_COMMAND_SECONDS": "0"},
            "MOLECULE_COMMAND_SECONDS must be a whole number from 1",
        ),
        (
            {"MOLECULE_COMMAND": "cat", "MOLECULE_COMMAND_PROMPT": "file"},
            "MOLECULE_COMMAND_PROMPT must be stdin or argument",
        ),
    ],
    ids=["none", "quotes", "seconds", "prompt"],
)
def test_wrong_options_are_refused_at_the_start(tmp_path, environment, why):
    with pytest.raises(AdapterError, match=f"^ADAPTER_MODULE command: {why}"):
        make_adapter("command", tmp_path, **environment)


async def test_a_program_that_does_not_exist_fails_the_task(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="/no/such/program")

    with pytest.raises(TurnFailed, match="could not be started"):
        await read_answer(adapter, "x")


async def test_a_program_that_prints_too_much_is_ended(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="yes", MOLECULE_COMMAND_MAX_OUTPUT_BYTES="100000")

    with pytest.raises(TurnFailed, match="printed more than 100000 bytes"):
        await read_answer(adapter, "x")


async def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path):
    adapter = make_adapter(
        "command",
        tmp_path,
        MOLECULE_COMMAND="sh -c 'sleep 600 & echo $! > child; sleep 600'",
        MOLECULE_COMMAND_SECONDS="1",
    )

    with pytest.raises(TurnFailed, match="took longer than 1 seconds"):
        await read_answer(adapter, "x")
    await eventually(lambda: has_ended(int((tmp_path / "workspace" / "child").read_text())))


async def test_a_program_that_ignores_its_input_is_no_failure(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="echo done")

    assert "".join(await read_answer(adapter, "x" * 1_000_000)) == "done\n"


@pytest.mark.parametrize("ignores", ["", "trap '' TERM; "], ids=["polite", "stubborn"])
async def test_a_cancelled_task_kills_the_whole_process_group(tmp_path, ignores):
    adapter = make_adapter(
        "command", tmp_path, MOLECULE_COMMAND=f'sh -c "{ignores}sleep 600 & echo $! ; echo > started; wait"'
    )
    pids: list[str] = []

    async def answer() -> None:
        async for piece in adapter.answer(make_turn("x")):
            pids.append(piece)  # noqa: PERF401 - the loop ends with an exception

    task = asyncio.create_task(answer())
    await eventually(lambda: pids)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    await eventually(lambda: has_ended(int("".join(pids))))


async def test_an_answer_that_is_closed_between_two_pieces_leaves_no_process(tmp_path):
    adapter = make_adapter("command", tmp_path, MOLECULE_COMMAND="sh -c 'echo $$; sleep 600'")
    answer = adapter.answer(make_turn("x"))
    pid = int(await anext(answer))

    await answer.aclose()

    await eventually(lambda: has_ended(pid))


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
