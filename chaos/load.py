"""Sends messages to all targets through every gateway, and records what the plane answers."""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from chaos.journal import Journal, read_journal
from chaos.model import AgentKind, Message, Response, SendMode, SentMessage, Target
from chaos.settings import WEIGHTS, RunSettings

SENT = "sent"

REQUEST_TIMEOUT_SECONDS = 20.0
"""Longer than the plane may take for any of these messages."""

RETRY_SECONDS = 0.3

MAX_RESENDS = 2
"""Further requests with a message that may be repeated and was not answered."""

MAX_ATTEMPTS = 100
"""Requests with a message that is stored at once, which may be sent as often as its sender likes."""

MAX_SENDING_SECONDS = 40.0
"""Time after which the sender of such a message gives up."""

FAILED_STATUS = 500

MODES = {SendMode.DIRECT: 55, SendMode.STRICT: 10, SendMode.RESPOND_ASYNC: 35}

READ_BYTES = 2048
"""Bytes of a response that are looked at."""


class Load:
    """The senders of a run."""

    def __init__(
        self,
        settings: RunSettings,
        *,
        gateways: Sequence[str],
        targets: Sequence[Target],
        callers: Mapping[str, str],
        directory: Path,
    ) -> None:
        """`callers` are the workspaces that send, with their tokens; other messages have no sender."""
        self._settings = settings
        self._gateways = gateways
        self._targets = targets
        self._callers: list[tuple[str | None, str]] = [(None, ""), *callers.items()]
        self._journal = Journal(directory / SENT)
        self._random = random.Random(settings.seed)
        self._is_over = False
        self._next_at = 0.0
        self.sent = 0
        self.settled = 0
        """Messages whose sender knows what became of them."""

    def stop(self) -> None:
        """Send no further messages."""
        self._is_over = True

    async def run(self) -> None:
        """Send until `stop` is called, and return once every message has its last answer."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, force_close=False)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(self._settings.senders):
                group.create_task(self._send_messages(session))

    async def _send_messages(self, session: aiohttp.ClientSession) -> None:
        while not self._is_over:
            await self._wait_for_turn()
            await self._send(self._choose_message(), session)

    async def _wait_for_turn(self) -> None:
        """Keep the rate over all senders."""
        now = time.monotonic()
        self._next_at = max(now, self._next_at + 1 / self._settings.rate)
        await asyncio.sleep(self._next_at - now)

    def _choose_message(self) -> tuple[Message, str]:
        """Choose a message and the token of its sender."""
        chooser = self._random
        target = chooser.choices(self._targets, [WEIGHTS[target.kind] for target in self._targets])[0]
        caller_id, token = chooser.choice(self._callers)
        message = Message(
            id=str(UUID(int=chooser.getrandbits(128), version=4)),
            target_id=target.id,
            kind=target.kind,
            mode=chooser.choices(list(MODES), list(MODES.values()))[0],
            is_repeatable=chooser.random() < 1 / 3,
            caller_id=caller_id,
        )
        return message, token

    async def _send(self, chosen: tuple[Message, str], session: aiohttp.ClientSession) -> None:
        """Send a message, again if that is safe and it was not answered, and record the answers."""
        message, token = chosen
        self._journal.append({"message": asdict(message)})
        self.sent += 1
        give_up_at = time.monotonic() + MAX_SENDING_SECONDS
        for attempt in range(_count_attempts(message)):
            gateway = self._gateways[(self.sent + attempt) % len(self._gateways)]
            response = await _post(session, gateway, message, token)
            self._journal.append({"message_id": message.id, "response": asdict(response)})
            if not _is_inconclusive(response):
                self.settled += 1
            if not _is_inconclusive(response) or time.monotonic() > give_up_at:
                break
            await asyncio.sleep(RETRY_SECONDS)


def read_sent(directory: Path) -> dict[str, SentMessage]:
    """Return the messages of a run with the answers to them, by message id."""
    messages: dict[str, Message] = {}
    responses: dict[str, list[Response]] = {}
    for record in read_journal(directory / SENT):
        if "message" in record:
            fields = record["message"]
            kinds = {"kind": AgentKind(fields["kind"]), "mode": SendMode(fields["mode"])}
            messages[fields["id"]] = Message(**{**fields, **kinds})
        else:
            responses.setdefault(record["message_id"], []).append(Response(**record["response"]))
    return {id_: SentMessage(message, responses.get(id_, [])) for id_, message in messages.items()}


def _count_attempts(message: Message) -> int:
    """Only what is stored at once, or may be repeated, is sent again."""
    if message.mode is SendMode.RESPOND_ASYNC or message.kind is AgentKind.POLL:
        return MAX_ATTEMPTS
    return 1 + MAX_RESENDS if message.is_repeatable else 1


def _is_inconclusive(response: Response) -> bool:
    return response.status is None or response.status >= FAILED_STATUS


async def _post(session: aiohttp.ClientSession, gateway: str, message: Message, token: str) -> Response:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if message.mode is SendMode.RESPOND_ASYNC:
        headers["Prefer"] = "respond-async"
    elif message.mode is SendMode.STRICT:
        headers["Prefer"] = "handling=strict"
    url = f"{gateway}/workspaces/{message.target_id}/a2a"
    try:
        async with session.post(url, data=build_body(message), headers=headers) as response:
            return _read_response(message, response.status, await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Response(status=None, text=type(error).__name__)


def build_body(message: Message) -> bytes:
    """Build the request that carries a message."""
    metadata = {"idempotent": True} if message.is_repeatable else {}
    content = {
        "kind": "message",
        "role": "user",
        "messageId": message.id,
        "parts": [{"kind": "text", "text": "do it"}],
        "metadata": metadata,
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": content}}
    return json.dumps(request).encode()


def _read_response(message: Message, status: int, body: bytes) -> Response:
    """Return what an answer says. Of a large answer only its beginning counts."""
    members = _parse_object(body) if len(body) <= READ_BYTES else {}
    return Response(
        status=status,
        queue_id=members.get("queue_id"),
        delivery=members.get("delivery"),
        is_busy=members.get("busy") is True,
        is_own=message.id.encode() in body[:READ_BYTES],
        text="" if status in {200, 202} else body[:200].decode(errors="replace"),
    )


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
