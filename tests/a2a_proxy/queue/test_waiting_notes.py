"""Messages are told why they wait, without looking at all of them each time."""

from datetime import timedelta

from services.a2a_proxy.queue.model import WaitReason
from services.a2a_proxy.queue.waiting_notes import WaitingNotes
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, get, set_columns


async def read_notes(store, messages):
    found = [await get(store, message.id) for message in messages]
    return [message.last_error for message in found]


async def test_each_look_goes_on_where_the_one_before_ended(store):
    target = new_id()
    messages = [new_message(target) for _ in range(3)]
    await accept(store, *messages)
    notes = WaitingNotes(store, limit=2)

    await notes.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["asleep", "asleep", None]
    await notes.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["asleep", "asleep", "asleep"]

    messages.append(new_message(target))
    await accept(store, messages[-1])
    await notes.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["asleep"] * 4
    assert (await get(store, messages[-1].id)).reason is WaitReason.WAKING


async def test_a_message_that_has_been_told_is_not_looked_at_again_for_some_time(store):
    target = new_id()
    messages = [new_message(target) for _ in range(2)]
    await accept(store, *messages)
    patient = WaitingNotes(store)
    await patient.note(target, WaitReason.WAKING, "asleep")

    await set_columns(store, [messages[0].id], last_error="broke")
    await patient.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["broke", "asleep"]

    impatient = WaitingNotes(store, repeat_interval=timedelta())
    await impatient.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["asleep", "asleep"]
    await set_columns(store, [messages[0].id], last_error="broke")
    await impatient.note(target, WaitReason.WAKING, "asleep")
    assert await read_notes(store, messages) == ["asleep", "asleep"]


async def test_another_reason_is_told_to_all_from_the_oldest_on(store):
    target = new_id()
    messages = [new_message(target) for _ in range(2)]
    await accept(store, *messages)
    notes = WaitingNotes(store)

    for error in ("asleep", "paused", "asleep"):
        await notes.note(target, WaitReason.UNAVAILABLE, error)
        assert await read_notes(store, messages) == [error] * 2


async def test_a_target_that_is_forgotten_is_told_from_the_oldest_message_on(store):
    kept, forgotten = new_id(), new_id()
    messages = [new_message(kept), new_message(forgotten)]
    await accept(store, *messages)
    notes = WaitingNotes(store)
    for target in (kept, forgotten):
        await notes.note(target, WaitReason.WAKING, "asleep")
    await set_columns(store, [message.id for message in messages], last_error="broke")

    notes.keep({kept})
    for target in (kept, forgotten):
        await notes.note(target, WaitReason.WAKING, "asleep")

    assert await read_notes(store, messages) == ["broke", "asleep"]
