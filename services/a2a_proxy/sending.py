"""Sends one message to its agent and decides what the result means."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from services.a2a_proxy import outcome
from services.a2a_proxy.agent_client import MAX_ANSWER_BYTES, AgentClient, Dispatch
from services.a2a_proxy.agent_credentials import AgentCredentials, is_refused
from services.a2a_proxy.clients import ProvisionerClient
from services.a2a_proxy.conversion import ConvertedMessage, StreamConverter, convert_message, convert_whole_answer
from services.a2a_proxy.dispatch_plan import DispatchPlan, plan_dispatch
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.model import (
    NO_CREDENTIAL,
    Answer,
    Answered,
    Busy,
    Deadline,
    DispatchFailure,
    Failed,
    InstanceCondition,
    Outcome,
    Push,
    Route,
    Stream,
    SuspectedDead,
    WaitingCaller,
)
from services.a2a_proxy.route_cache import RouteCache
from services.chassis import telemetry
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import run_by_size

MAX_WORKSPACE_CALL_TIMEOUT = timedelta(minutes=30)
"""Longest time that a call from a workspace may take; other callers have no such limit."""

NOTIFICATIONS_HEADER = "x-molecule-notifications"
"""The version of push notifications for a caller whose requests the gateway has converted; the agent is not told."""

REQUEST_HEADERS = (
    NOTIFICATIONS_HEADER,
    "accept",
    "a2a-extensions",
    "x-a2a-extensions",
    "last-event-id",
    "traceparent",
    "tracestate",
    "baggage",
)
"""The headers of a message that are forwarded to the agent, and the one for the relay of push notifications."""

VERSION_HEADER = "a2a-version"
"""The version of A2A that a caller states, and the one that the agent is told."""

CALLER_HEADER = "x-molecule-caller"
"""Tells the agent whose message it is. The plane sets it: what a caller sends under this name is not forwarded."""

OPERATOR = "operator"
"""The caller of a message that comes from no workspace."""

HOPS_HEADER = "x-molecule-hops"
"""Counts the dispatches of a message. A plane whose agent is a plane, itself included, receives it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message for an agent: the body, the headers, how long the answer may take, and the caller that waits for it.

    If it `ends_with_caller`, nothing is sent or received any more once the caller has left.
    """

    method: str
    body: bytes
    headers: Mapping[str, str]
    """With the A2A-Version that the caller states."""
    deadline: Deadline | None
    waiting: WaitingCaller | None = None
    ends_with_caller: bool = False
    max_answer_bytes: int = MAX_ANSWER_BYTES
    caller_token_id: str | None = None
    """The token of an organisation that the caller used, if it is no workspace."""
    has_webhooks: bool | None = None
    """Whether the message names addresses for push notifications; `None` if its body has to be searched for them."""


class NotificationRelay(Protocol):
    """Has agents send their push notifications to the plane."""

    def concerns(self, outgoing: Outgoing) -> bool:
        """Whether a message may be about push notification configs."""
        ...

    async def send(
        self, outgoing: Outgoing, route: Route, send: Callable[[Outgoing], Awaitable[Answered | Busy | Failed]]
    ) -> Answered | Busy | Failed:
        """Send a message by `send` with other configs, and return the answer as its caller reads it."""
        ...


class Sender:
    """Sends messages to agents."""

    def __init__(
        self,
        *,
        route_cache: RouteCache,
        agents: AgentClient,
        inbound_secrets: InboundSecrets,
        agent_credentials: AgentCredentials,
        provisioner: ProvisionerClient,
        push_relay: NotificationRelay,
        idle_timeout: timedelta,
    ) -> None:
        """`idle_timeout` applies to agents that declare none."""
        self._push_relay = push_relay
        self._route_cache = route_cache
        self._agents = agents
        self._inbound_secrets = inbound_secrets
        self._agent_credentials = agent_credentials
        self._provisioner = provisioner
        self._idle_timeout = idle_timeout

    async def send(self, outgoing: Outgoing, route: Route, push: Push) -> Answered | Busy | Failed:
        """Send a message in a dialect that its agent serves, and return what became of it."""
        if self._push_relay.concerns(outgoing):
            return await self._push_relay.send(outgoing, route, partial(self._send_converted, route=route, push=push))
        return await self._send_converted(outgoing, route, push)

    async def _send_converted(self, outgoing: Outgoing, route: Route, push: Push) -> Answered | Busy | Failed:
        stated = outgoing.headers.get(VERSION_HEADER, "")
        plan = plan_dispatch(route, push, method=outgoing.method, version=stated)
        if not plan.is_converted:
            return await self._dispatch(outgoing, route, plan, None)
        size = len(outgoing.body)
        message = await run_by_size(size, convert_message, outgoing.body, plan, entropy=os.urandom(16))
        if isinstance(message, Answer):
            return Answered(message)
        result = await self._dispatch(outgoing, route, plan, message)
        return Answered(await _convert(result.answer, message)) if isinstance(result, Answered) else result

    async def _dispatch(
        self, outgoing: Outgoing, route: Route, plan: DispatchPlan, converted: ConvertedMessage | None
    ) -> Answered | Busy | Failed:
        try:
            credential = NO_CREDENTIAL if plan.has_own_authority else await self._agent_credentials.find(route)
        except Unavailable as error:
            return Failed(error)  # nothing is sent, so a queued message is sent again
        dispatch = Dispatch(
            target=route.workspace_id,
            push=plan.push if converted is None else converted.push,
            method="POST" if converted is None else converted.method,
            rpc="" if converted is None else converted.rpc,
            body=outgoing.body if converted is None else converted.body,
            headers=_set_version(outgoing.headers, plan.version),
            idle=route.idle_timeout or self._idle_timeout,
            deadline=outgoing.deadline,
            waiting=outgoing.waiting,
            ends_with_caller=outgoing.ends_with_caller,
            max_answer_bytes=outgoing.max_answer_bytes,
            inbound_secret=None if plan.has_own_authority else await self._inbound_secrets.find(route),
            credential=credential,
        )
        result = await self._send(dispatch, route, has_secret=not plan.has_own_authority)
        size = len(result.body) if isinstance(result, Answer) else 0
        return await self._settle(await run_by_size(size, outcome.classify, result), route)

    async def _send(self, dispatch: Dispatch, route: Route, *, has_secret: bool) -> Answer | Stream | DispatchFailure:
        """Send a message, and once more with another credential if the agent refused the one that was cached."""
        result = await self._agents.send(dispatch, self._route_cache.get_hearing_start)
        renewed = await self._renew(dispatch, route, result) if has_secret else None
        if renewed is None:
            return result
        return await self._agents.send(renewed, self._route_cache.get_hearing_start)

    async def _renew(
        self, dispatch: Dispatch, route: Route, result: Answer | Stream | DispatchFailure
    ) -> Dispatch | None:
        """Return a message that was refused with another credential; `None` if there is none or it was not refused."""
        if is_refused(result):
            credential = await self._agent_credentials.find_other(route, dispatch.credential)
            if credential is not None:
                return replace(dispatch, credential=credential)
        if outcome.is_unauthorized(result):
            secret = await self._inbound_secrets.find_other(route, dispatch.inbound_secret)
            if secret is not None:
                return replace(dispatch, inbound_secret=secret)
        return None

    async def _settle(self, found: Outcome, route: Route) -> Answered | Busy | Failed:
        """Ask the provisioner whether a suspected instance is alive. It does not know external agents."""
        if not isinstance(found, SuspectedDead):
            return found
        if route.external:
            return outcome.reclassify(found, InstanceCondition.UNKNOWN)
        return outcome.reclassify(found, await self._provisioner.check(route.workspace_id, route.generation))


def build_headers(
    headers: Mapping[str, str],
    *,
    version: str,
    request_id: str,
    hops: int,
    extension_headers: Sequence[str] = (),
) -> dict[str, str]:
    """Return the headers for the agent; `hops` counts this dispatch too, and the caller states the `version`.

    `extension_headers` are those that the extensions of the agent's card name.
    """
    selected = {name: headers[name] for name in (*REQUEST_HEADERS, *extension_headers) if name in headers}
    selected["content-type"] = "application/json"
    selected.setdefault("accept", "application/json, text/event-stream")
    selected["accept-encoding"] = "identity"  # what an agent compresses would hide its task from the plane
    selected[HOPS_HEADER] = str(hops)
    if version:
        selected[VERSION_HEADER] = version
    if request_id:
        selected["x-request-id"] = request_id
    if traceparent := telemetry.current_traceparent():
        selected["traceparent"] = traceparent
    return selected


def _set_version(headers: Mapping[str, str], version: str) -> Mapping[str, str]:
    """Return the headers for the agent, with the version that it is told."""
    if headers.get(VERSION_HEADER, "") == version and NOTIFICATIONS_HEADER not in headers:
        return headers
    others = {name: value for name, value in headers.items() if name not in {VERSION_HEADER, NOTIFICATIONS_HEADER}}
    return {**others, VERSION_HEADER: version} if version else others


async def _convert(answer: Answer | Stream, message: ConvertedMessage) -> Answer | Stream:
    """Return an answer as the caller reads it; a stream is converted as it arrives."""
    if isinstance(answer, Stream):
        return replace(answer, chunks=_convert_chunks(answer.chunks, StreamConverter(message)))
    return await run_by_size(len(answer.body), convert_whole_answer, answer, message)


async def _convert_chunks(
    chunks: AsyncGenerator[bytes, None], converter: StreamConverter
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            if converted := await run_by_size(len(chunk), converter.convert, chunk):
                yield converted
            if converter.is_over:
                return
