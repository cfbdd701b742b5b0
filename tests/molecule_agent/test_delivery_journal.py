"""Messages are remembered over restarts of the agent, also if it is killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from molecule_agent.credentials import Credentials
from molecule_agent.delivery_journal import FILE_NAME, DeliveryJournal, JournalEntry
from tests.molecule_agent.a2a_client import text_of
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_plane import SECRET
from tests.waiting import eventually

ADAPTER = "tests.molecule_agent.adapters.recording"

KEY = ("m1", b"digest")


@pytest.fixture
def restart(start, plane, tmp_path):
    """A function that starts the agent in the same directory as before."""
    return lambda: start(plane, adapter_module=ADAPTER)


@asynccontextmanager
async def running_process(plane, root: Path) -> AsyncIterator[str]:
    """The URL of an agent that is a process, which is killed with SIGKILL at the end."""
    Credentials(root).save_inbound_secret(SECRET)
    settings = {"WORKSPACE_ID": WORKSPACE_ID, "PLATFORM_URL": plane.url, "MOLECULE_ROOT": str(root)}
    environment = os.environ | settings | {"ADAPTER_MODULE": ADAPTER}
    before = len(plane.registered)
    with subprocess.Popen((sys.executable, "-m", "molecule_agent"), env=environment) as process:
        try:
            await eventually(lambda: len(plane.registered) > before, within=60)
            yield plane.registered[-1]["url"]
        finally:
            process.kill()


def read_turns(root: Path) -> list[str]:
    return (root / "turns").read_text().split()


async def test_a_message_that_comes_again_after_a_restart_is_answered_by_its_first_task(restart, client, tmp_path):
    async with restart() as agent:
        first = await client.send_message(agent.url, "work")
    async with restart() as agent:
        again = await client.send_message(agent.url, "work")
        streamed = [event async for event in client.stream_message(agent.url, "work")]
        read = await client.call(agent.url, "GetTask", {"id": first["id"]})

    assert again == first
    assert text_of(again) == "did work"
    assert [text_of(event["task"]) for event in streamed] == ["did work"]
    assert read["result"] == first
    assert read_turns(tmp_path) == ["m1"]


async def test_other_content_under_the_same_id_is_another_message_after_a_restart(restart, client, tmp_path):
    async with restart() as agent:
        await client.send_message(agent.url, "work")
    async with restart() as agent:
        assert text_of(await client.send_message(agent.url, "other work")) == "did other work"


async def test_the_answer_to_a_question_of_before_the_restart_continues_its_task(restart, client, tmp_path):
    async with restart() as agent:
        asked = await client.send_message(agent.url, "ask")
    async with restart() as agent:
        ids = {"messageId": "m2", "taskId": asked["id"], "contextId": asked["contextId"]}
        message = {"role": "ROLE_USER", "parts": [{"text": "this"}], **ids}
        answered = (await client.call(agent.url, "SendMessage", {"message": message}))["result"]["task"]

    assert (answered["id"], answered["status"]["state"]) == (asked["id"], "TASK_STATE_COMPLETED")


@pytest.mark.parametrize("is_repeatable", [False, True], ids=["not-repeatable", "repeatable"])
async def test_a_message_in_whose_middle_the_agent_was_killed_runs_again_only_if_it_may(
    plane, client, tmp_path, is_repeatable
):
    if is_repeatable:
        (tmp_path / "repeatable").touch()
    async with running_process(plane, tmp_path) as url:
        interrupted = asyncio.create_task(client.send_message(url, "wait"))
        await eventually((tmp_path / "turns").exists)
    with pytest.raises(httpx.TransportError):
        await interrupted
    (tmp_path / "gate").touch()
    async with running_process(plane, tmp_path) as url:
        task = await client.send_message(url, "wait")
        again = await client.send_message(url, "wait")

    assert task == again
    if is_repeatable:
        assert text_of(task) == "did wait"
        assert read_turns(tmp_path) == ["m1", "m1"]
    else:
        assert task["status"]["state"] == "TASK_STATE_FAILED"
        assert task["status"]["message"]["parts"] == [
            {"text": "The agent was stopped while it worked on this message."}
        ]
        assert read_turns(tmp_path) == ["m1"]


async def test_an_answer_is_not_lost_by_a_kill_right_after_it(plane, client, tmp_path):
    async with running_process(plane, tmp_path) as url:
        first = [await client.send_message(url, "work", f"m{number}") for number in range(20)]
    async with running_process(plane, tmp_path) as url:
        again = [await client.send_message(url, "work", f"m{number}") for number in range(20)]

    assert again == first
    assert len(read_turns(tmp_path)) == 20


async def test_a_damaged_journal_is_replaced(restart, client, tmp_path):
    (tmp_path / "configs" / FILE_NAME).write_bytes(b"not a database" * 1000)
    async with restart() as agent:
        first = await client.send_message(agent.url, "work")
    async with restart() as agent:
        assert await client.send_message(agent.url, "work") == first


async def test_without_a_place_for_the_journal_the_agent_works_and_forgets(restart, client, tmp_path):
    (tmp_path / "configs" / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        async with restart() as agent:
            assert text_of(await client.send_message(agent.url, "work")) == "did work"

    assert read_turns(tmp_path) == ["m1", "m1"]
    assert not (tmp_path / "elsewhere").exists()


def test_the_journal_returns_what_it_was_told(tmp_path):
    journal = DeliveryJournal(tmp_path)
    assert journal.open() == []
    journal.begin(KEY, task_id="t1", context_id="c1")
    journal.begin(("m2", b"d"), task_id="t2", context_id="c2")
    journal.begin(("m3", b"d"), task_id="t3", context_id="c3")
    journal.end(KEY, b"task")
    journal.forget("t3")
    journal.close()

    assert DeliveryJournal(tmp_path).open() == [
        JournalEntry(key=KEY, task_id="t1", context_id="c1", task=b"task"),
        JournalEntry(key=("m2", b"d"), task_id="t2", context_id="c2", task=None),
    ]
    assert (tmp_path / "configs" / FILE_NAME).stat().st_mode & 0o777 == 0o600
