"""Tries every operation of a client with an agent, and says what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any

from tests.e2e.a2a_matrix.clients import WEBHOOK, Client, Refused, read_seen
from tests.waiting import eventually

RIGHT = "ok"

ENDS_EARLY = "ends early"
"""The stream ended before its task was over."""

ABSENT = "-"
"""The version of the client does not have the operation."""

NOT_CANCELABLE = frozenset({"-32002", "TASK_NOT_CANCELABLE"})

AGENTS_AT_ONCE = 8

OPERATION_SECONDS = 60

OPERATIONS = (
    *("send", "stream", "get", "list", "subscribe", "cancel"),
    *("push set", "push get", "push list", "push delete", "card"),
)


@dataclass(frozen=True, slots=True)
class Habits:
    """What an agent does with a task that waits."""

    holds_answer: bool = False
    """It answers the message only when the task is over, unless the client wants the answer at once."""

    ignores_cancel: bool = False
    """It answers a cancellation with the task as it is, which ends once the agent is told to release it."""

    def list_names(self) -> tuple[str, ...]:
        """Return the names of those that the agent has."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


async def try_agents(clients: dict[str, Client], habits: dict[str, Habits]) -> dict[str, dict[str, str]]:
    """Return the outcomes of the operations by the names of the agents; a few agents are tried at once."""
    turns = asyncio.Semaphore(AGENTS_AT_ONCE)

    async def take_turn(agent: str) -> dict[str, str]:
        async with turns:
            return await try_all(clients[agent], habits.get(agent, Habits()))

    return dict(zip(clients, await asyncio.gather(*map(take_turn, clients)), strict=True))


async def try_all(client: Client, habits: Habits) -> dict[str, str]:
    """Return `ok`, the code of the refusal, or what is wrong, for each operation."""
    trial = _Trial(client, habits)
    attempts: dict[str, Callable[[], Awaitable[bool]]] = {
        "send": trial.send,
        "stream": trial.stream,
        "get": trial.get,
        "list": trial.list,
        "subscribe": trial.subscribe,
        "cancel": trial.cancel,
        "push set": lambda: trial.push("push set"),
        "push get": lambda: trial.push("push set", "push get"),
        "push list": lambda: trial.push("push set", "push list"),
        "push delete": lambda: trial.push("push set", "push delete"),
        "card": trial.card,
    }
    found = {}
    for operation in OPERATIONS:
        if operation not in client.operations:
            found[operation] = ABSENT
            continue
        try:
            async with asyncio.timeout(OPERATION_SECONDS):
                found[operation] = RIGHT if await attempts[operation]() else "wrong"
        except Refused as refused:
            found[operation] = str(refused.code)
        except Exception as error:  # noqa: BLE001 - the cell of the table says it
            found[operation] = f"broken: {error!r}"
    return found


class _Trial:
    """The operations of a client with an agent; each returns whether the answer is right."""

    def __init__(self, client: Client, habits: Habits) -> None:
        self._client = client
        self._habits = habits

    async def send(self) -> bool:
        seen = read_seen(await self._client.call("send", text="hello"))
        if seen.state in {"submitted", "working"}:  # of an agent that answers before the task ends

            async def is_completed() -> bool:
                return read_seen(await self._client.call("get", task_id=seen.task_id)).state == "completed"

            await eventually(is_completed)
            seen = read_seen(await self._client.call("get", task_id=seen.task_id))
        return (seen.state, seen.text) == ("completed", "hello")

    async def stream(self) -> bool:
        events = [read_seen(event) async for event in self._client.events("stream", text="hello")]
        return events[-1].state == "completed" and "hello" in {event.text for event in events}

    async def get(self) -> bool:
        task_id = await self._open_task()
        seen = read_seen(await self._client.call("get", task_id=task_id))
        return seen.task_id == task_id and seen.state in {"input-required", "submitted", "working"}

    async def list(self) -> bool:
        task_id = await self._open_task()
        return task_id in {task["id"] for task in (await self._client.call("list"))["tasks"]}

    async def cancel(self) -> bool:
        expected = {"submitted", "working"} if self._habits.ignores_cancel else {"canceled"}
        return read_seen(await self._cancel_open(await self._open_task())).state in expected

    async def subscribe(self) -> bool:
        task_id = await self._open_task()
        states = []
        async for event in self._client.events("subscribe", task_id=task_id):
            states.append(read_seen(event).state)
            if len(states) == 1:
                await self._end(task_id)
        if states[-1] != ("completed" if self._habits.ignores_cancel else "canceled"):
            raise Refused(ENDS_EARLY)
        return True

    async def push(self, *operations: str) -> bool:
        """Set a config for a task that is not over; read or delete it afterwards."""
        task_id = await self._open_task()
        for operation in operations:
            result = await self._client.call(operation, task_id=task_id)
        return operations[-1] == "push delete" or WEBHOOK in str(result)

    async def card(self) -> bool:
        return bool((await self._client.call("card"))["name"])

    async def _open_task(self) -> str:
        """Return the id of a task that is not over."""
        self._client.returns_immediately = self._habits.holds_answer
        opened = await self._client.call("send", text="wait")
        self._client.returns_immediately = False
        return read_seen(opened).task_id

    async def _end(self, task_id: str) -> None:
        if self._habits.ignores_cancel:
            await self._client.call("send", text="release")
        else:
            await self._cancel_open(task_id)

    async def _cancel_open(self, task_id: str) -> Any:
        """Cancel a task, as soon as the agent that fetches its messages has returned the message."""

        async def cancel() -> Any:
            try:
                return await self._client.call("cancel", task_id=task_id)
            except Refused as refused:
                if str(refused.code) in NOT_CANCELABLE:
                    return None
                raise

        return await eventually(cancel)
