"""The inbox of an agent that polls: it leases messages, and ends each lease itself (docs/spec/delivery.md, 7)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from services.a2a_proxy.errors import QueueItemNotFound, StaleReceipt
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.activity_rows import build_answer_row
from services.a2a_proxy.queue.model import Change, LeaseKind, MessageState, QueuedMessage, Result
from services.a2a_proxy.queue.store.transaction import QueueStore, QueueTransaction
from services.chassis import strict_json

MAX_WAITING_CALLS = 16
"""Calls that wait for messages of one workspace; a further one is answered at once."""


MAX_ANSWER_BYTES = 12 * 1024 * 1024
"""Bytes of the messages in one answer; a gRPC message may have 16 MiB."""


class Inbox:
    """Leases messages to agents that poll."""

    def __init__(self, store: QueueStore, *, owner: str) -> None:
        """`owner` names this process in leases."""
        self._store = store
        self._owner = owner
        self._waiting: dict[WorkspaceId, set[asyncio.Event]] = {}
        self._listeners: list[Callable[[WorkspaceId], None]] = []

    def add_listener(self, listener: Callable[[WorkspaceId], None]) -> None:
        """Call `listener` with the workspace of every message that is returned."""
        self._listeners.append(listener)

    def wake(self, workspace_id: WorkspaceId) -> None:
        """Have the calls that wait for messages of a workspace look again."""
        for event in self._waiting.get(workspace_id, ()):
            event.set()

    async def lease(
        self, workspace_id: WorkspaceId, *, limit: int, wait: timedelta, lease: timedelta
    ) -> list[QueuedMessage]:
        """Lease up to `limit` messages, and wait for the first one if there is none; raises `Unavailable`."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(workspace_id, set())
        if len(waiting) >= MAX_WAITING_CALLS:
            wait = timedelta()
        waiting.add(event)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        try:
            while True:
                event.clear()
                leased = await self._claim(workspace_id, limit, lease)
                if leased or loop.time() >= deadline:
                    return leased
                async with asyncio.timeout_at(deadline):
                    await event.wait()
        except TimeoutError:
            return []
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(workspace_id, None)

    async def acknowledge(
        self, workspace_id: WorkspaceId, id_: str, receipt: str, *, result: bytes | None, error: bytes | None
    ) -> None:
        """End a message that the agent has handled, with the JSON of its result or error.

        Repeating it with the same receipt changes nothing. Raises `QueueItemNotFound` and `StaleReceipt`.
        """
        async with self._store.begin() as tx:
            message = await self._lock(tx, workspace_id, id_)
            if message.state is MessageState.COMPLETED and receipt == build_receipt(message):
                return
            _check_receipt(message, receipt)
            now = await tx.now()
            answer = _build_answer(message, result, error)
            outcome = Result.OK if error is None else Result.ERROR
            after = rules.acknowledge(message, answer, result=outcome, now=now)
            applied = await tx.apply([Change(message, after)])
            taken = now - (message.dispatched_at or now)
            rows = [build_answer_row(change.after, taken) for change in applied if change.after.is_logged]
            await tx.append_activity(rows)

    async def give_back(
        self, workspace_id: WorkspaceId, id_: str, receipt: str, *, delay: timedelta, reason: str
    ) -> None:
        """Return a message to the queue; raises `QueueItemNotFound` and `StaleReceipt`."""
        async with self._store.begin() as tx:
            message = await self._lock(tx, workspace_id, id_)
            _check_receipt(message, receipt)
            after = rules.give_back(message, delay=delay, error=reason, now=await tx.now())
            await tx.apply([Change(message, after)])
        for listener in self._listeners:
            listener(workspace_id)

    async def extend(self, workspace_id: WorkspaceId, id_: str, receipt: str, *, lease: timedelta) -> QueuedMessage:
        """Prolong a lease from now on; raises `QueueItemNotFound` and `StaleReceipt`."""
        async with self._store.begin() as tx:
            message = await self._lock(tx, workspace_id, id_)
            _check_receipt(message, receipt)
            await tx.renew({id_: message.lease_generation}, lease)
            extended = await tx.get(id_)
        return extended or message

    async def _claim(self, workspace_id: WorkspaceId, limit: int, lease: timedelta) -> list[QueuedMessage]:
        """Lease the next messages, as many as fit into one answer."""
        async with self._store.begin() as tx:
            return await tx.claim(
                workspace_id,
                limit=limit,
                max_bytes=MAX_ANSWER_BYTES,
                kind=LeaseKind.INBOX,
                owner=self._owner,
                lease=lease,
            )

    async def _lock(self, tx: QueueTransaction, workspace_id: WorkspaceId, id_: str) -> QueuedMessage:
        """Return the message of an inbox, locked until the end of the transaction."""
        found = await tx.lock_message(id_)
        if found is None or found.target_id != workspace_id:
            raise QueueItemNotFound
        return found


def build_receipt(message: QueuedMessage) -> str:
    """Return the receipt of the present lease of a message."""
    return str(message.lease_generation)


def _check_receipt(message: QueuedMessage, receipt: str) -> None:
    is_leased = message.state is MessageState.DISPATCHING and message.lease_kind is LeaseKind.INBOX
    if not is_leased or receipt != build_receipt(message):
        raise StaleReceipt


def _build_answer(message: QueuedMessage, result: bytes | None, error: bytes | None) -> bytes | None:
    """Return the JSON-RPC response that the agent would have sent; `None` if it gave neither result nor error."""
    if result is None and error is None:
        return None
    id_ = strict_json.find_member(message.body, "id") or b"null"
    name, value = (b"result", result) if error is None else (b"error", error)
    return b'{"jsonrpc":"2.0","id":%b,"%b":%b}' % (id_, name, value or b"null")
