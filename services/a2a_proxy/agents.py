"""Posts messages to agents, who are strangers: their answers are capped, and their silence is timed."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from services.a2a_proxy.connections import Connection, ForbiddenError, Pool, TornError, UnreachedError
from services.a2a_proxy.model import Answer, Break, Fault, Push, Sent, Stream, StreamBroken, WorkspaceId
from services.a2a_proxy.patience import Patience
from services.chassis.addresses import Rules

ANSWER_LIMIT = 10 * 1024 * 1024
"""Bytes of the largest answer that does not flow."""

PASSED_BACK = (
    "content-type",
    "content-encoding",
    "retry-after",
    "etag",
    "cache-control",
    "www-authenticate",
    "a2a-extensions",
    "x-a2a-extensions",
)
"""The headers of an answer that the client sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A message on its way to an agent."""

    target: WorkspaceId
    push: Push
    body: bytes
    headers: Mapping[str, str]
    idle: timedelta
    deadline: timedelta | None


class Agents:
    """Posts messages. Redirects, cookies, compression and proxies do not exist here."""

    def __init__(self, *, rules: Rules) -> None:
        """Two pools, so that a connection to a trusted address never carries a message to a judged one."""
        self._trusted = Pool(None)
        self._judged = Pool(rules)
        self._waiting: dict[WorkspaceId, set[Patience]] = {}

    async def __aenter__(self) -> Self:
        """Connections are made as they are needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        self._trusted.close()
        self._judged.close()

    def heard(self, workspace_id: WorkspaceId) -> None:
        """Take note of a sign of life: whoever waits for this agent waits on."""
        for patience in self._waiting.get(workspace_id, ()):
            patience.heard()

    async def post(self, dispatch: Dispatch, hearing: Callable[[], bool]) -> Answer | Stream | Break:
        """What the agent answers, or why it does not. `hearing` tells whether signs of life are heard at all."""
        patience = Patience(dispatch.idle, dispatch.deadline, hearing)
        self._waiting.setdefault(dispatch.target, set()).add(patience)
        result: Answer | Stream | Break | None = None
        try:
            result = await self._post(dispatch, patience)
        finally:
            if not isinstance(result, Stream):
                self._let_go(dispatch.target, patience)
        return result

    async def _post(self, dispatch: Dispatch, patience: Patience) -> Answer | Stream | Break:
        pool = self._trusted if dispatch.push.trusted else self._judged
        try:
            async with patience:
                connection = await pool.post(dispatch.push.address, dispatch.headers, dispatch.body)
        except TimeoutError:
            return patience.over or _TORN
        except ForbiddenError:
            return _FORBIDDEN
        except UnreachedError:
            return _UNREACHED
        except TornError:
            return _TORN
        if connection.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return Stream(
                status=connection.status,
                headers=_passed_back(connection),
                chunks=self._chunks(dispatch.target, connection, patience),
            )
        try:
            return await _whole(connection, patience)
        finally:
            pool.release(connection)

    async def _chunks(
        self, target: WorkspaceId, connection: Connection, patience: Patience
    ) -> AsyncGenerator[bytes, None]:
        """The stream as it arrives; the connection ends with whoever stops reading."""
        try:
            patience.heard()
            while chunk := await _more(connection, patience):
                yield chunk
        except (TimeoutError, TornError):
            raise StreamBroken from None
        finally:
            connection.close()
            self._let_go(target, patience)

    def _let_go(self, target: WorkspaceId, patience: Patience) -> None:
        waiting = self._waiting.get(target, set())
        waiting.discard(patience)
        if not waiting:
            self._waiting.pop(target, None)


async def _whole(connection: Connection, patience: Patience) -> Answer | Break:
    """The answer with all of its body."""
    pieces: list[bytes] = []
    room = ANSWER_LIMIT
    try:
        while chunk := await _more(connection, patience):
            pieces.append(chunk)
            room -= len(chunk)
            if room < 0:
                return _UNREADABLE
    except TimeoutError:
        return patience.over or _UNREADABLE
    except TornError:
        return _UNREADABLE
    return Answer(status=connection.status, headers=_passed_back(connection), body=b"".join(pieces))


async def _more(connection: Connection, patience: Patience) -> bytes:
    """The next piece of a body as it arrives; empty at its end."""
    if connection.ready:
        return await connection.more()
    async with patience:
        chunk = await connection.more()
    patience.heard()
    return chunk


def _passed_back(connection: Connection) -> dict[str, str]:
    """Those headers that the client sees."""
    found = connection.headers
    return {name: found[name] for name in PASSED_BACK if name in found}


_FORBIDDEN = Break(Fault.ADDRESS, Sent.NOT_SENT)
_UNREACHED = Break(Fault.UNREACHED, Sent.NOT_SENT)
_TORN = Break(Fault.RESET, Sent.UNKNOWN)
_UNREADABLE = Break(Fault.UNREADABLE, Sent.UNKNOWN)
