"""Sends one message to its agent and decides what the result means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from services.a2a_proxy import outcome
from services.a2a_proxy.agent_client import AgentClient, Dispatch
from services.a2a_proxy.clients import ProvisionerClient
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.model import (
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
from services.chassis.large_bodies import run_by_size

MAX_WORKSPACE_CALL_TIMEOUT = timedelta(minutes=30)
"""Longest time that a call from a workspace may take; other callers have no such limit."""

REQUEST_HEADERS = (
    "content-type",
    "accept",
    "a2a-extensions",
    "x-a2a-extensions",
    "last-event-id",
    "traceparent",
    "tracestate",
    "baggage",
)
"""The headers of a message that are forwarded to the agent."""

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

    body: bytes
    headers: Mapping[str, str]
    deadline: Deadline | None
    waiting: WaitingCaller | None = None
    ends_with_caller: bool = False


class Sender:
    """Sends messages to agents."""

    def __init__(
        self,
        *,
        route_cache: RouteCache,
        agents: AgentClient,
        inbound_secrets: InboundSecrets,
        provisioner: ProvisionerClient,
        idle_timeout: timedelta,
    ) -> None:
        """`idle_timeout` applies to agents that declare none."""
        self._route_cache = route_cache
        self._agents = agents
        self._inbound_secrets = inbound_secrets
        self._provisioner = provisioner
        self._idle_timeout = idle_timeout

    async def send(self, outgoing: Outgoing, route: Route, push: Push) -> Answered | Busy | Failed:
        """Send a message and return what became of it."""
        dispatch = Dispatch(
            target=route.workspace_id,
            push=push,
            body=outgoing.body,
            headers=outgoing.headers,
            idle=route.idle_timeout or self._idle_timeout,
            deadline=outgoing.deadline,
            waiting=outgoing.waiting,
            ends_with_caller=outgoing.ends_with_caller,
            inbound_secret=await self._inbound_secrets.find(route),
        )
        result = await self._send(dispatch, route)
        size = len(result.body) if isinstance(result, Answer) else 0
        return await self._settle(await run_by_size(size, outcome.classify, result), route)

    async def _send(self, dispatch: Dispatch, route: Route) -> Answer | Stream | DispatchFailure:
        """Send a message, and once more with another secret if the agent refused the one that was cached."""
        result = await self._agents.send(dispatch, self._route_cache.get_hearing_start)
        if not outcome.is_unauthorized(result):
            return result
        secret = await self._inbound_secrets.find_other(route, dispatch.inbound_secret)
        if secret is None:
            return result
        return await self._agents.send(replace(dispatch, inbound_secret=secret), self._route_cache.get_hearing_start)

    async def _settle(self, found: Outcome, route: Route) -> Answered | Busy | Failed:
        """Ask the provisioner whether a suspected instance is alive. It does not know external agents."""
        if not isinstance(found, SuspectedDead):
            return found
        if route.external:
            return outcome.reclassify(found, InstanceCondition.UNKNOWN)
        return outcome.reclassify(found, await self._provisioner.check(route.workspace_id, route.generation))


def build_headers(headers: Mapping[str, str], *, version: str, request_id: str, hops: int) -> dict[str, str]:
    """Return the headers for the agent; `hops` counts this dispatch too."""
    selected = {name: headers[name] for name in REQUEST_HEADERS if name in headers}
    selected.setdefault("content-type", "application/json")
    selected.setdefault("accept", "application/json, text/event-stream")
    selected[HOPS_HEADER] = str(hops)
    if version:
        selected["a2a-version"] = version
    if request_id:
        selected["x-request-id"] = request_id
    if traceparent := telemetry.current_traceparent():
        selected["traceparent"] = traceparent
    return selected
