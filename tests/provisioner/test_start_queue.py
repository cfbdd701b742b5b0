"""The order in which workspaces start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provisioner.model import WorkspaceId
from services.provisioner.start_queue import StartQueue

workspaces = st.integers(0, 11).map(lambda number: WorkspaceId(f"w{number}"))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), workspaces, st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("remove"), workspaces),
    ),
    max_size=60,
)


def apply(queue: StartQueue, operation) -> list[WorkspaceId]:
    match operation:
        case "add", workspace_id, org_id, is_requested:
            queue.add(workspace_id, org_id, is_requested=is_requested)
        case "remove", workspace_id:
            queue.remove(workspace_id)
    return queue.fill_slots()


@given(slots=st.integers(1, 4), operations=operations)
def test_slots_are_never_exceeded_and_never_idle_while_a_workspace_waits(slots, operations):
    queue, holders, waiting = StartQueue(slots), set(), set()
    for operation in operations:
        if operation[0] == "add" and operation[1] not in holders:
            waiting.add(operation[1])
        elif operation[0] == "remove":
            holders.discard(operation[1])
            waiting.discard(operation[1])
        admitted = apply(queue, operation)
        assert set(admitted) <= waiting
        holders |= set(admitted)
        waiting -= set(admitted)

        assert len(holders) <= slots
        assert not waiting or len(holders) == slots
        assert queue.waiting == len(waiting)
        assert all(queue.has_slot(one) for one in holders)
        assert not any(queue.has_slot(one) for one in waiting)


@given(slots=st.integers(1, 4), operations=operations)
def test_every_waiting_workspace_starts_once_slots_become_free(slots, operations):
    queue, holders = StartQueue(slots), []
    for operation in operations:
        if operation[0] == "remove" and operation[1] in holders:
            holders.remove(operation[1])
        holders += apply(queue, operation)
    waiting, started = queue.waiting, []
    while holders:
        queue.remove(holders.pop(0))
        started += (admitted := queue.fill_slots())
        holders += admitted
    assert len(started) == len(set(started)) == waiting
    assert queue.waiting == 0


@given(counts=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1))
def test_organisations_take_turns(counts):
    queue = StartQueue(1)
    queue.add(WorkspaceId("first"), "other")
    queue.fill_slots()
    for org_id, count in counts.items():
        for number in range(count):
            queue.add(WorkspaceId(f"{org_id}{number}"), org_id)
    order = drain(queue, "first")

    for length in range(len(order) + 1):
        started = {org_id: sum(one.startswith(org_id) for one in order[:length]) for org_id in counts}
        unfinished = [started[org_id] for org_id in counts if started[org_id] < counts[org_id]]
        most = max(started.values(), default=0)
        assert all(most - few <= 1 for few in unfinished)


def test_restart_of_another_organisation_waits_for_one_start_of_an_import():
    queue = StartQueue(1)
    for number in range(50):
        queue.add(WorkspaceId(f"import-{number}"), "import")
    queue.fill_slots()
    queue.add(WorkspaceId("single"), "other", is_requested=True)

    assert drain(queue, "import-0")[:3] == ["import-1", "single", "import-2"]


def test_requested_restart_comes_before_the_first_starts_of_its_organisation():
    queue = StartQueue(1)
    for name in ("running", "one", "two", "three"):
        queue.add(WorkspaceId(name), "org")
        queue.fill_slots()
    queue.add(WorkspaceId("asked"), "org", is_requested=True)
    queue.add(WorkspaceId("three"), "org", is_requested=True)

    assert drain(queue, "running") == ["asked", "three", "one", "two"]


@pytest.mark.parametrize("is_requested", [False, True])
def test_repeated_request_keeps_the_place(is_requested):
    queue = StartQueue(1)
    for name in ("running", "one", "two", "one"):
        queue.add(WorkspaceId(name), "org", is_requested=is_requested)
        queue.fill_slots()

    assert drain(queue, "running") == ["one", "two"]


def test_workspace_that_moved_to_another_organisation_waits_there():
    queue = StartQueue(1)
    for name, org_id in (("running", "a"), ("one", "a"), ("two", "a"), ("two", "b")):
        queue.add(WorkspaceId(name), org_id)
        queue.fill_slots()

    assert drain(queue, "running") == ["one", "two"]
    assert queue.waiting == 0


def drain(queue: StartQueue, holder: str) -> list[str]:
    """Free the slot of the holder, then that of each workspace that gets it; return these in order."""
    order = []
    while True:
        queue.remove(WorkspaceId(holder))
        admitted = queue.fill_slots()
        if not admitted:
            return order
        [holder] = admitted
        order.append(holder)
