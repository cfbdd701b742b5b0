import pytest

from molecule_agent.delivery_journal import DeliveryJournal
from molecule_agent.message_index import MessageIndex

KEY = ("m1", b"digest")


@pytest.fixture
def index(tmp_path) -> MessageIndex:
    return MessageIndex(DeliveryJournal(tmp_path))


def test_a_message_without_a_started_task_is_forgotten_and_its_waiters_are_released(index):
    waiting = index.add(KEY)
    index.assign_task(KEY, task_id="t1", context_id="c")

    index.forget_unstarted(KEY)

    assert index.find(KEY) is None
    assert waiting.started.is_set()
    assert waiting.finished.is_set()
    assert not waiting.task_id


def test_a_message_whose_task_has_started_is_not_forgotten(index):
    index.add(KEY)
    index.assign_task(KEY, task_id="t1", context_id="c")
    index.mark_started("t1")

    index.forget_unstarted(KEY)

    assert index.find(KEY).task_id == "t1"


def test_forgetting_a_message_twice_is_the_same_as_once(index):
    index.add(KEY)

    for _ in range(2):
        index.forget_unstarted(KEY)
        index.forget_task("t1")
        index.mark_finished("t1", b"")

    assert index.find(KEY) is None
