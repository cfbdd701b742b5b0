"""The routes of the inbox."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from molecule_agent.inbox.messages import Answer, Item, read_items
from molecule_agent.plane_client import REQUEST_TIMEOUT_SECONDS, PlaneClient, PlaneRefused

WAIT_SECONDS = 25
"""Seconds that the plane holds a call for messages if there are none; below the 30 s after which many NATs forget."""

SLOW_LINE_BYTES_PER_SECOND = 50_000
"""Speed of a line over which a large answer still arrives in time."""

STALE_TEXT = "receipt is stale"
UNKNOWN_TEXT = "queue item not found"

FINAL_STATUSES = frozenset({"completed", "expired", "dropped"})
"""The statuses that a message never leaves."""

DEFAULT_SLOTS = 1
MAX_SLOTS = 100


class InboxRefusal(Exception):
    """
    The plane refused what an agent wants to do with a message.

    InboxRefusal ── StaleReceipt · UnknownMessage · RefusedAnswer
    """


class StaleReceipt(InboxRefusal):
    """The lease has ended: the plane may offer the message again, with another receipt."""


class UnknownMessage(InboxRefusal):
    """The plane does not have the message any more."""


class RefusedAnswer(InboxRefusal):
    """The plane cannot store this answer, because it is too large or malformed."""


class InboxClient:
    """The inbox of one workspace. Every method raises PlaneError too, if the plane does not carry out a request."""

    def __init__(self, plane: PlaneClient, workspace_id: str, *, lease_seconds: int) -> None:
        self._plane = plane
        self._path = f"/workspaces/{workspace_id}"
        self._lease_seconds = lease_seconds

    async def count_slots(self) -> int:
        """Return how many messages the workspace may work on at the same time."""
        workspace = await self._plane.call("GET", self._path)
        limit = workspace.get("max_concurrent_tasks") if isinstance(workspace, dict) else None
        return max(DEFAULT_SLOTS, min(limit, MAX_SLOTS)) if isinstance(limit, int) else DEFAULT_SLOTS

    async def may_come_again(self, id_: str) -> bool:
        """Whether the plane may still offer a message whose lease has ended."""
        try:
            found = await self._plane.call("GET", f"{self._path}/a2a/queue/{quote(id_, safe='')}")
        except PlaneRefused as error:
            if error.status == HTTPStatus.NOT_FOUND and UNKNOWN_TEXT in str(error):
                return False
            raise
        return not isinstance(found, dict) or found.get("status") not in FINAL_STATUSES

    async def lease(self, *, limit: int) -> Sequence[Item]:
        """Lease at most `limit` messages; wait for the first one if there is none."""
        query = {"max": limit, "wait": WAIT_SECONDS, "lease_seconds": self._lease_seconds}
        timeout = WAIT_SECONDS + REQUEST_TIMEOUT_SECONDS
        answer = await self._plane.call("GET", f"{self._path}/inbox", query=query, timeout_seconds=timeout)
        return read_items(answer)

    async def acknowledge(self, item: Item, answer: Answer) -> None:
        """End a message with its answer. Raises StaleReceipt, UnknownMessage and RefusedAnswer."""
        body = answer.to_dict()
        timeout = REQUEST_TIMEOUT_SECONDS + len(json.dumps(body)) / SLOW_LINE_BYTES_PER_SECOND
        await self._send(item, "ack", body, timeout)

    async def give_back(self, item: Item, reason: str) -> None:
        """Return a message, which the plane offers again at once. Raises StaleReceipt and UnknownMessage."""
        await self._send(item, "nack", {"reason": reason}, REQUEST_TIMEOUT_SECONDS)

    async def extend(self, item: Item) -> None:
        """Prolong the lease of a message. Raises StaleReceipt and UnknownMessage."""
        await self._send(item, "extend", {"lease_seconds": self._lease_seconds}, REQUEST_TIMEOUT_SECONDS)

    async def _send(self, item: Item, verb: str, body: dict[str, object], timeout_seconds: float) -> None:
        path = f"{self._path}/inbox/{quote(item.id, safe='')}/{verb}"
        try:
            await self._plane.call(
                "POST", path, body={"receipt": item.receipt, **body}, timeout_seconds=timeout_seconds
            )
        except PlaneRefused as error:
            # The text tells the plane's own refusals from those of a proxy in front of it.
            match error.status:
                case HTTPStatus.CONFLICT if STALE_TEXT in str(error):
                    raise StaleReceipt from error
                case HTTPStatus.NOT_FOUND if UNKNOWN_TEXT in str(error):
                    raise UnknownMessage from error
                case HTTPStatus.BAD_REQUEST | HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    raise RefusedAnswer(str(error)) from error
                case _:
                    raise
