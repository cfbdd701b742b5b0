"""HTTP to agents, who are strangers: addresses are judged as they are dialled, answers are capped, silence is timed."""

import io
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from socket import AF_UNSPEC, AddressFamily
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.a2a_proxy.model import Answer, Break, Fault, Push, Sent, Stream, StreamBroken, WorkspaceId
from services.a2a_proxy.patience import Patience
from services.chassis import addresses
from services.chassis.addresses import AddressRules

CONNECT_WITHIN = 10.0
"""Seconds for a connection, TLS included."""

KEPT_OPEN = 3.0
"""Seconds that an unused connection is kept: less than common servers do, so that none is used as it closes."""

AT_ONCE = 256 * 1024
"""Bytes of the largest body that is written in one go; others have their turn between the pieces of a larger one."""

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
    """Posts messages to agents. Redirects, cookies and the proxies of the environment do not exist here."""

    def __init__(self, *, rules: AddressRules, connect_within: float = CONNECT_WITHIN) -> None:
        self._rules = rules
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_within)
        self._sessions = AsyncExitStack()
        self._waiting: dict[WorkspaceId, set[Patience]] = {}
        self._trusted: aiohttp.ClientSession
        self._judged: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Open two pools, so that a connection to a trusted address never carries a message to a judged one."""
        self._trusted = await self._sessions.enter_async_context(self._session(None))
        self._judged = await self._sessions.enter_async_context(self._session(JudgingResolver(self._rules)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._sessions.aclose()

    def heard(self, workspace_id: WorkspaceId) -> None:
        """Take note of a sign of life: whoever waits for this agent waits on."""
        for patience in self._waiting.get(workspace_id, ()):
            patience.heard()

    async def post(self, dispatch: Dispatch, hearing: Callable[[], bool]) -> Answer | Stream | Break:
        """What the agent answers, or why it does not. `hearing` tells whether signs of life are heard at all."""
        push = dispatch.push
        if not push.trusted and not _presentable(push.address, self._rules):
            return Break(Fault.ADDRESS, Sent.NOT_SENT)
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
        session = self._trusted if dispatch.push.trusted else self._judged
        try:
            async with patience:
                response = await session.post(
                    _url(dispatch.push.address),
                    data=dispatch.body if len(dispatch.body) <= AT_ONCE else io.BytesIO(dispatch.body),
                    headers=dispatch.headers,
                    allow_redirects=False,
                )
        except TimeoutError:
            return patience.over or Break(Fault.UNREACHED, Sent.NOT_SENT)
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError):
            return Break(Fault.UNREACHED, Sent.NOT_SENT)
        except (ForbiddenHostError, ValueError):
            return Break(Fault.ADDRESS, Sent.NOT_SENT)
        except (aiohttp.ClientError, OSError):
            return Break(Fault.RESET, Sent.UNKNOWN)
        if response.content_type == "text/event-stream":
            return Stream(
                status=response.status,
                headers=_passed_back(response),
                chunks=self._chunks(dispatch.target, response, patience),
            )
        return await _whole(response, patience)

    async def _chunks(
        self, target: WorkspaceId, response: aiohttp.ClientResponse, patience: Patience
    ) -> AsyncGenerator[bytes, None]:
        """The stream as it arrives; the connection ends with whoever stops reading."""
        try:
            patience.heard()
            while chunk := await _more(response, patience):
                yield chunk
        except (TimeoutError, aiohttp.ClientError, OSError):
            raise StreamBroken from None
        finally:
            response.close()
            self._let_go(target, patience)

    def _let_go(self, target: WorkspaceId, patience: Patience) -> None:
        waiting = self._waiting.get(target, set())
        waiting.discard(patience)
        if not waiting:
            self._waiting.pop(target, None)

    @asynccontextmanager
    async def _session(self, resolver: AbstractResolver | None) -> AsyncGenerator[aiohttp.ClientSession, None]:
        connector = aiohttp.TCPConnector(
            resolver=resolver, limit=0, keepalive_timeout=KEPT_OPEN, use_dns_cache=resolver is None
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._timeout,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        ) as session:
            yield session


class ForbiddenHostError(Exception):
    """A host resolves to an address that may not be dialled."""


class JudgingResolver(AbstractResolver):
    """Resolves hosts, and refuses those of which any address may not be dialled. What it returns is what is dialled."""

    def __init__(self, rules: AddressRules, resolver: AbstractResolver | None = None) -> None:
        self._rules = rules
        self._resolver = resolver or aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of `host`; raises `ForbiddenHostError`."""
        found = await self._resolver.resolve(host, port, family)
        if addresses.find_address_refusal([entry["host"] for entry in found], self._rules) is not None:
            raise ForbiddenHostError(host)
        return found

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._resolver.close()


async def _whole(response: aiohttp.ClientResponse, patience: Patience) -> Answer | Break:
    """The answer with all of its body."""
    pieces: list[bytes] = []
    room = ANSWER_LIMIT
    try:
        while chunk := await _more(response, patience):
            pieces.append(chunk)
            room -= len(chunk)
            if room < 0:
                return _UNREADABLE
    except TimeoutError:
        return patience.over or _UNREADABLE
    except (aiohttp.ClientError, OSError):
        return _UNREADABLE
    finally:
        if not response.content.at_eof():
            response.close()
    return Answer(status=response.status, headers=_passed_back(response), body=b"".join(pieces))


async def _more(response: aiohttp.ClientResponse, patience: Patience) -> bytes:
    """The next piece of a body as it arrives; empty at its end."""
    content = response.content
    if content.is_eof():
        return content.read_nowait()
    async with patience:
        chunk = await content.readany()
    patience.heard()
    return chunk


def _passed_back(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Those headers that the client sees; of one that comes twice the first."""
    found = response.headers
    return {name: found[name] for name in PASSED_BACK if name in found}


@lru_cache(maxsize=4096)
def _url(address: str) -> URL:
    return URL(address, encoded=True)


@lru_cache(maxsize=4096)
def _presentable(address: str, rules: AddressRules) -> bool:
    """Whether an address may be looked up; a host written as a number is judged here, as nothing resolves it."""
    place = addresses.parse_endpoint(address)
    if place is None:
        return False
    return not _is_number(place.host) or addresses.find_ip_refusal(place.host, rules) is None


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_UNREADABLE = Break(Fault.UNREADABLE, Sent.UNKNOWN)
