"""The journal of an agent that polls survives its process, and serves one process at a time."""

import stat

import pytest

from molecule_agent.inbox import journal as journals
from molecule_agent.inbox.journal import Journal, JournalError, State
from molecule_agent.inbox.messages import Answer, Item


def build_item(number=1, receipt="1"):
    return Item(id=f"q-{number}", receipt=receipt, request={"method": "message/send"})


@pytest.mark.covers("AGT-10")
def test_what_was_begun_and_answered_is_known_to_the_next_process(tmp_path):
    with Journal.open(tmp_path) as journal:
        for number in (1, 2, 3):
            journal.start(build_item(number))
        journal.answer("q-2", Answer(result={"kind": "task"}))
        journal.answer("q-3", Answer(error={"code": 1}))
        journal.end("q-3")

    with Journal.open(tmp_path) as journal:
        begun, answered = journal.list_open()
        ended = journal.find("q-3")

    assert (begun.item, begun.state, begun.answer) == (build_item(1), State.STARTED, None)
    assert (answered.state, answered.answer) == (State.ANSWERED, Answer(result={"kind": "task"}))
    assert ended is not None
    assert (ended.state, ended.answer) == (State.ENDED, Answer(error={"code": 1}))


@pytest.mark.covers("AGT-10")
def test_a_new_lease_replaces_the_receipt_and_keeps_the_answer(tmp_path):
    with Journal.open(tmp_path) as journal:
        journal.start(build_item())
        journal.answer("q-1", Answer(result={}))
        journal.renew("q-1", "2")
        journal.start(build_item(receipt="3"))

        found = journal.find("q-1")

    assert found is not None
    assert (found.item.receipt, found.state) == ("3", State.ANSWERED)


@pytest.mark.covers("AGT-10")
def test_old_messages_are_forgotten_and_open_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "MAX_ENDED_MESSAGES", 3)
    with Journal.open(tmp_path) as journal:
        journal.start(build_item(0))
        for number in range(1, 6):
            journal.start(build_item(number))
            journal.answer(f"q-{number}", Answer(result={}))
            journal.end(f"q-{number}")

        assert [number for number in range(6) if journal.find(f"q-{number}")] == [0, 3, 4, 5]


@pytest.mark.covers("AGT-10")
def test_large_answers_are_forgotten_sooner(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "MAX_ANSWER_BYTES", 1000)
    with Journal.open(tmp_path) as journal:
        for number in range(1, 4):
            journal.start(build_item(number))
            journal.answer(f"q-{number}", Answer(result={"text": "x" * 600}))
            journal.end(f"q-{number}")

        assert [number for number in range(1, 4) if journal.find(f"q-{number}")] == [3]


@pytest.mark.covers("AGT-10")
def test_a_second_process_is_refused_and_the_files_are_private(tmp_path):
    with (
        Journal.open(tmp_path),
        pytest.raises(JournalError, match="another agent fetches messages"),
        Journal.open(tmp_path),
    ):
        pass

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {journals.FILE_NAME: 0o600, journals.LOCK_NAME: 0o600}


@pytest.mark.covers("AGT-10")
def test_a_directory_that_cannot_be_used_says_why(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(JournalError, match=r"cannot use .*file"), Journal.open(tmp_path / "file"):
        pass
