from molecule_agent.memory import Memory

KEY = ("m1", b"digest")


def test_a_message_nothing_came_of_may_be_tried_again():
    memory = Memory()
    waiting = memory.add(KEY)
    memory.assign(KEY, "t1")

    memory.give_up(KEY)

    assert memory.find(KEY) is None
    assert waiting.begun.is_set()
    assert waiting.ended.is_set()
    assert not waiting.task_id


def test_a_message_whose_task_has_begun_is_not_given_up():
    memory = Memory()
    memory.add(KEY)
    memory.assign(KEY, "t1")
    memory.begun("t1")

    memory.give_up(KEY)

    assert memory.find(KEY).task_id == "t1"


def test_giving_up_or_forgetting_twice_is_doing_it_once():
    memory = Memory()
    memory.add(KEY)

    for _ in range(2):
        memory.give_up(KEY)
        memory.forget_task("t1")
        memory.ended("t1")

    assert memory.find(KEY) is None
