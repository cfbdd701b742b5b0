from molecule_agent.message_index import MessageIndex

KEY = ("m1", b"digest")


def test_a_message_nothing_came_of_may_be_tried_again():
    memory = MessageIndex()
    waiting = memory.add(KEY)
    memory.assign(KEY, "t1")

    memory.give_up(KEY)

    assert memory.find(KEY) is None
    assert waiting.begun.is_set()
    assert waiting.ended.is_set()
    assert not waiting.task_id


def test_a_message_whose_task_has_begun_is_not_given_up():
    memory = MessageIndex()
    memory.add(KEY)
    memory.assign(KEY, "t1")
    memory.begun("t1")

    memory.give_up(KEY)

    assert memory.find(KEY).task_id == "t1"


def test_giving_up_or_forgetting_twice_is_doing_it_once():
    memory = MessageIndex()
    memory.add(KEY)

    for _ in range(2):
        memory.give_up(KEY)
        memory.forget_task("t1")
        memory.ended("t1")

    assert memory.find(KEY) is None
