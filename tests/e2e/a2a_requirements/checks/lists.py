"""Checks of listing tasks."""

from uuid import uuid4

from tests.e2e.a2a_requirements.probe import Probe
from tests.e2e.a2a_requirements.registry import check
from tests.e2e.a2a_requirements.reply import JsonObject, get_state


async def _make_tasks(probe: Probe, *texts: str) -> tuple[str, list[JsonObject]]:
    """Return a new context and its tasks, made one after the other."""
    context = str(uuid4())
    return context, [await probe.make_task(text, contextId=context) for text in texts]


@check("LIST-01")
async def tasks_are_listed(probe: Probe) -> None:
    context, [task] = await _make_tasks(probe, "hello")
    page = await probe.list_tasks(contextId=context)
    assert [one["id"] for one in page["tasks"]] == [task["id"]]
    assert (page["totalSize"], page["nextPageToken"]) == (1, "")
    assert isinstance(page["pageSize"], int)
    assert page["tasks"][0]["contextId"] == context
    assert get_state(page["tasks"][0]) == "COMPLETED"


@check("LIST-02")
async def pages_follow_each_other(probe: Probe) -> None:
    context, tasks = await _make_tasks(probe, *["hello"] * 5)
    found, token = [], ""
    while True:
        page = await probe.list_tasks(contextId=context, pageSize=2, **({"pageToken": token} if token else {}))
        assert len(page["tasks"]) <= 2
        assert page["totalSize"] == 5
        found += [one["id"] for one in page["tasks"]]
        token = page["nextPageToken"]
        if not token:
            break
    assert sorted(found) == sorted(task["id"] for task in tasks)


@check("LIST-03")
async def latest_task_is_first(probe: Probe) -> None:
    context, tasks = await _make_tasks(probe, "wait", "hello", "hello")
    await probe.send("go on", taskId=tasks[0]["id"])
    listed = (await probe.list_tasks(contextId=context))["tasks"]
    assert listed[0]["id"] == tasks[0]["id"]
    times = [task["status"]["timestamp"] for task in listed]
    assert times == sorted(times, reverse=True)


@check("LIST-04")
async def the_last_page_has_an_empty_token(probe: Probe) -> None:
    context, _ = await _make_tasks(probe, "hello")
    assert (await probe.list_tasks(contextId=context, pageSize=100))["nextPageToken"] == ""


@check("LIST-05")
async def artifacts_are_left_out(probe: Probe) -> None:
    context, _ = await _make_tasks(probe, "hello")
    for params in ({}, {"includeArtifacts": False}):
        assert "artifacts" not in (await probe.list_tasks(contextId=context, **params))["tasks"][0]


@check("LIST-06")
async def artifacts_are_included(probe: Probe) -> None:
    context, _ = await _make_tasks(probe, "hello")
    [task] = (await probe.list_tasks(contextId=context, includeArtifacts=True))["tasks"]
    assert task["artifacts"][0]["parts"][0]["text"] == "hello"


@check("LIST-07")
async def tasks_of_a_state_are_listed(probe: Probe) -> None:
    context, [_, waiting] = await _make_tasks(probe, "hello", "wait")
    page = await probe.list_tasks(contextId=context, status="TASK_STATE_INPUT_REQUIRED")
    assert [one["id"] for one in page["tasks"]] == [waiting["id"]]
    assert page["totalSize"] == 1


@check("LIST-08")
async def tasks_after_a_time_are_listed(probe: Probe) -> None:
    context, [first, second] = await _make_tasks(probe, "hello", "hello")
    page = await probe.list_tasks(contextId=context, statusTimestampAfter=second["status"]["timestamp"])
    listed = [one["id"] for one in page["tasks"]]
    assert first["id"] not in listed
    assert listed in ([], [second["id"]])
    past = await probe.list_tasks(contextId=context, statusTimestampAfter="2020-01-01T00:00:00Z")
    assert len(past["tasks"]) == 2


@check("LIST-09")
async def an_invalid_token_is_refused(probe: Probe) -> None:
    (await probe.full.call("list", {"pageToken": "no token"})).must_be("INVALID_PARAMS")


@check("LIST-10")
async def invalid_page_sizes_are_refused(probe: Probe) -> None:
    for size in (0, -1, 101):
        (await probe.full.call("list", {"pageSize": size})).must_be("INVALID_PARAMS")


@check("LIST-11")
async def history_is_limited(probe: Probe) -> None:
    context, [task] = await _make_tasks(probe, "wait")
    await probe.send("wait", taskId=task["id"])
    [limited] = (await probe.list_tasks(contextId=context, historyLength=1))["tasks"]
    assert len(limited["history"]) == 1
    [without] = (await probe.list_tasks(contextId=context, historyLength=0))["tasks"]
    assert not without.get("history")
    (await probe.full.call("list", {"historyLength": -1})).must_be("INVALID_PARAMS")


@check("LIST-12")
async def a_context_without_tasks_is_empty(probe: Probe) -> None:
    page = await probe.list_tasks(contextId=str(uuid4()))
    assert (page["tasks"], page["totalSize"], page["nextPageToken"]) == ([], 0, "")


@check("LIST-13")
async def a_page_has_fifty_tasks_by_default(probe: Probe) -> None:
    page = await probe.list_tasks(includeArtifacts=True)
    assert len(page["tasks"]) <= 50
    assert page["pageSize"] in (50, len(page["tasks"]))
