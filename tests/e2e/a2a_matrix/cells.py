"""Tries every operation of a client with an agent, and says what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.e2e.a2a_matrix.clients import WEBHOOK, Client, Refused, read_seen
from tests.waiting import eventually

RIGHT = "ok"

ENDS_EARLY = "ends early"
"""The stream ended before its task was over."""

ABSENT = "-"
"""The version of the client does not have the operation."""

NOT_CANCELABLE = frozenset({"-32002", "TASK_NOT_CANCELABLE"})

OPERATIONS = (
    *("send", "stream", "get", "list", "subscribe", "cancel"),
    *("push set", "push get", "push list", "push delete", "card"),
)


async def try_all(client: Client) -> dict[str, str]:
    """Return `ok`, the code of the refusal, or what is wrong, for each operation."""
    attempts: dict[str, Callable[[], Awaitable[bool]]] = {
        "send": lambda: _send(client),
        "stream": lambda: _stream(client),
        "get": lambda: _get(client),
        "list": lambda: _list(client),
        "subscribe": lambda: _subscribe(client),
        "cancel": lambda: _cancel(client),
        "push set": lambda: _push(client, "push set"),
        "push get": lambda: _push(client, "push set", "push get"),
        "push list": lambda: _push(client, "push set", "push list"),
        "push delete": lambda: _push(client, "push set", "push delete"),
        "card": lambda: _card(client),
    }
    found = {}
    for operation in OPERATIONS:
        if operation not in client.operations:
            found[operation] = ABSENT
            continue
        try:
            async with asyncio.timeout(20):
                found[operation] = RIGHT if await attempts[operation]() else "wrong"
        except Refused as refused:
            found[operation] = str(refused.code)
        except Exception as error:  # noqa: BLE001 - the cell of the table says it
            found[operation] = f"broken: {error!r}"
    return found


async def _open_task(client: Client) -> str:
    """Return the id of a task that is not over."""
    return read_seen(await client.call("send", text="wait")).task_id


async def _cancel_open(client: Client, task_id: str) -> Any:
    """Cancel a task, as soon as the agent that fetches its messages has returned the message."""

    async def cancel() -> Any:
        try:
            return await client.call("cancel", task_id=task_id)
        except Refused as refused:
            if str(refused.code) in NOT_CANCELABLE:
                return None
            raise

    return await eventually(cancel)


async def _send(client: Client) -> bool:
    seen = read_seen(await client.call("send", text="hello"))
    if seen.state in {"submitted", "working"}:  # of an agent that fetches its messages

        async def is_completed() -> bool:
            return read_seen(await client.call("get", task_id=seen.task_id)).state == "completed"

        await eventually(is_completed)
        seen = read_seen(await client.call("get", task_id=seen.task_id))
    return (seen.state, seen.text) == ("completed", "hello")


async def _stream(client: Client) -> bool:
    events = [read_seen(event) async for event in client.events("stream", text="hello")]
    return events[-1].state == "completed" and "hello" in {event.text for event in events}


async def _get(client: Client) -> bool:
    task_id = await _open_task(client)
    seen = read_seen(await client.call("get", task_id=task_id))
    return seen.task_id == task_id and seen.state in {"input-required", "submitted", "working"}


async def _list(client: Client) -> bool:
    task_id = await _open_task(client)
    return task_id in {task["id"] for task in (await client.call("list"))["tasks"]}


async def _cancel(client: Client) -> bool:
    return read_seen(await _cancel_open(client, await _open_task(client))).state == "canceled"


async def _subscribe(client: Client) -> bool:
    task_id = await _open_task(client)
    states = []
    async for event in client.events("subscribe", task_id=task_id):
        states.append(read_seen(event).state)
        if len(states) == 1:
            await _cancel_open(client, task_id)
    if states[-1] != "canceled":
        raise Refused(ENDS_EARLY)
    return True


async def _push(client: Client, *operations: str) -> bool:
    """Set a config for a task that is not over; read or delete it afterwards."""
    task_id = await _open_task(client)
    for operation in operations:
        result = await client.call(operation, task_id=task_id)
    return operations[-1] == "push delete" or WEBHOOK in str(result)


async def _card(client: Client) -> bool:
    return bool((await client.call("card"))["name"])
