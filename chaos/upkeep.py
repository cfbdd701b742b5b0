"""Does what agents do besides answering: heartbeats, and the inbox of those that poll."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from chaos.agents import ARRIVALS, CALM
from chaos.journal import Journal
from chaos.model import AgentKind, Target

ACKNOWLEDGED = "acknowledged"

HEARTBEAT_SECONDS = 2.0

UNANSWERING_KINDS = frozenset({AgentKind.SILENT, AgentKind.HALF, AgentKind.ENDLESS})
"""Kinds that send no heartbeats before the load is over: each would prolong the wait for their answers."""

INBOX_WAIT_SECONDS = 1

INBOX_LEASE_SECONDS = 3

IGNORED_SHARE = 0.1
"""Share of the leased messages that the agent neither acknowledges nor returns."""

RETURNED_SHARE = 0.1

ERROR_SECONDS = 0.3
"""Pause after a request that failed."""

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=15)

FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


async def run_upkeep(targets: Sequence[Target], gateways: Sequence[str], directory: Path, seed: int) -> None:
    """Send heartbeats and empty the inboxes until cancelled."""
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session, asyncio.TaskGroup() as group:
        group.create_task(_send_heartbeats(session, targets, gateways, (directory / CALM).exists))
        for target in targets:
            if target.kind is AgentKind.POLL:
                for number, gateway in enumerate(gateways):
                    consumer = InboxConsumer(session, target, gateway, directory, random.Random(seed + number))
                    group.create_task(consumer.run())


class InboxConsumer:
    """An agent that polls through one gateway: it leases messages and acknowledges, returns or ignores them."""

    def __init__(
        self, session: aiohttp.ClientSession, target: Target, gateway: str, directory: Path, chooser: random.Random
    ) -> None:
        self._session = session
        self._url = f"{gateway}/workspaces/{target.id}/inbox"
        self._headers = {"Authorization": f"Bearer {target.token}"}
        self._arrivals = Journal(directory / ARRIVALS)
        self._acknowledged = Journal(directory / ACKNOWLEDGED)
        self._calm = directory / CALM
        self._random = chooser

    async def run(self) -> None:
        """Fetch messages until cancelled."""
        query = {"wait": INBOX_WAIT_SECONDS, "max": 5, "lease_seconds": INBOX_LEASE_SECONDS}
        while True:
            try:
                async with self._session.get(self._url, params=query, headers=self._headers) as response:
                    leased = await response.json() if response.ok else []
            except FAILURES:
                leased = []
                await asyncio.sleep(ERROR_SECONDS)
            for item in leased:
                with suppress(*FAILURES):
                    await self._handle(item)

    async def _handle(self, item: dict[str, Any]) -> None:
        self._arrivals.append({"message_id": item["message"]["params"]["message"]["messageId"], "kind": AgentKind.POLL})
        share = 1.0 if self._calm.exists() else self._random.random()
        if share < IGNORED_SHARE:
            return
        if share < IGNORED_SHARE + RETURNED_SHARE:
            await self._post(item, "nack", {"reason": "not now"})
            return
        if await self._post(item, "ack", {"result": {"kind": "message"}}):
            self._acknowledged.append({"queue_id": item["id"]})

    async def _post(self, item: dict[str, Any], action: str, members: dict[str, Any]) -> bool:
        body = {"receipt": item["receipt"], **members}
        async with self._session.post(f"{self._url}/{item['id']}/{action}", json=body, headers=self._headers) as answer:
            return answer.ok


async def _send_heartbeats(
    session: aiohttp.ClientSession, targets: Iterable[Target], gateways: Sequence[str], is_calm: Callable[[], bool]
) -> None:
    """Send a heartbeat of each agent now and then, which says that it has room."""
    while True:
        for number, target in enumerate(targets):
            if target.kind in UNANSWERING_KINDS and not is_calm():
                continue
            url = f"{gateways[number % len(gateways)]}/registry/heartbeat"
            headers = {"Authorization": f"Bearer {target.token}"}
            body = {"workspace_id": target.id, "active_tasks": 0}
            with suppress(*FAILURES):
                async with session.post(url, json=body, headers=headers):
                    pass
        await asyncio.sleep(HEARTBEAT_SECONDS)
