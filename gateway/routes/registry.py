"""Routes of agents: registration, heartbeats, cards and discovery."""

from collections.abc import AsyncIterator

import structlog

from gateway.errors import http_status
from gateway.guards import AGENT, ANY, DISCOVERY, REGISTER
from gateway.ids import parse_workspace_id
from gateway.json_format import json_response
from gateway.request_body import BodySpec, encode_agent_card, refuse_with_detail
from gateway.route import Call, Route
from gateway.schemas.agents import (
    MAX_MONTHLY_SPEND,
    AccessCheck,
    AccessDecision,
    AgentUpdateResult,
    CardUpdate,
    CardUpdateResult,
    DiscoveredWorkspace,
    Heartbeat,
    Peer,
    Registration,
    RegistrationResult,
    RuntimeMetadata,
    add_card_notes,
    render_peer,
)
from gateway.schemas.workspaces import render_delivery_mode
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.batched_calls import BatchedMethod
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError
from services.chassis.identity import Kind

log = structlog.get_logger()

PEER_PAGE_SIZE = 50
"""Peers of one page: fifty of the largest cards fit into one gRPC message."""

HEARTBEAT_ANSWER = json_response(AgentUpdateResult(status="ok"))

HEARTBEAT_BATCH_INTERVAL_SECONDS = 0.02
"""Time between two batches of heartbeats: no agent waits for the answer, and each batch costs an RPC."""

CALLER_HEADER = {"X-Workspace-ID": "The workspace that asks; a workspace's bearer implies it"}


class RegistryRoutes:
    """Routes to the registry, in the name of agents."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._heartbeats = BatchedMethod(
            registry, self._stub.Heartbeat, _HEARTBEAT, interval_seconds=HEARTBEAT_BATCH_INTERVAL_SECONDS
        )

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/registry/register",
                handler=self.register,
                summary="An agent says where it is and what it can do",
                guard=REGISTER,
                body=BodySpec(model=Registration, fault_to_error=refuse_with_detail),
                answer=RegistrationResult,
                refusal_statuses=frozenset({409}),
                on_refusal=_log_refused_register,
            ),
            Route(
                method="POST",
                path="/registry/heartbeat",
                handler=self.heartbeat,
                summary="An agent says that it is alive and how it feels",
                guard=AGENT,
                body=BodySpec(model=Heartbeat, fault_to_error=refuse_with_detail),
                answer=AgentUpdateResult,
            ),
            Route(
                method="POST",
                path="/registry/update-card",
                handler=self.update_card,
                summary="An agent replaces its card",
                guard=AGENT,
                body=BodySpec(model=CardUpdate, fault_to_error=refuse_with_detail),
                answer=CardUpdateResult,
            ),
            Route(
                method="GET",
                path="/registry/discover/{id}",
                handler=self.discover,
                summary="Where a workspace is reached",
                guard=DISCOVERY,
                headers=CALLER_HEADER,
                answer=DiscoveredWorkspace,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/registry/{id}/peers",
                handler=self.peers,
                summary="Siblings, children and parent of a workspace",
                guard=DISCOVERY,
                headers=CALLER_HEADER,
                query={"q": "Part of a name or role, whatever its case"},
                answer=list[Peer],
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/registry/check-access",
                handler=self.check_access,
                summary="Whether two workspaces may communicate",
                guard=ANY,
                body=BodySpec(model=AccessCheck),
                answer=AccessDecision,
            ),
        ]

    async def register(self, call: Call) -> object:
        """Register an agent, which brings its workspace online."""
        body: Registration = call.body
        request = pb.RegisterRequest(
            workspace_id=call.workspace_id,
            agent_card=encode_agent_card(body.agent_card),
            url=body.url,
            delivery_mode=_MODES[body.delivery_mode],
        )
        reply: pb.RegisterResponse = await self._registry.call(self._stub.Register, request, on_behalf_of=call.identity)
        registered = RegistrationResult(status="registered", delivery_mode=render_delivery_mode(reply.delivery_mode))
        if reply.HasField("inbound_secret"):
            registered["platform_inbound_secret"] = reply.inbound_secret
        if reply.HasField("auth_token"):
            registered["auth_token"] = reply.auth_token
        add_card_notes(registered, reply)
        return registered

    async def heartbeat(self, call: Call) -> object:
        """Pass on a heartbeat."""
        await self._heartbeats.call(_build_heartbeat_request(call.workspace_id, call.body), on_behalf_of=call.identity)
        return HEARTBEAT_ANSWER

    async def update_card(self, call: Call) -> object:
        """Replace the card of a workspace."""
        request = pb.UpdateCardRequest(
            workspace_id=call.workspace_id, agent_card=encode_agent_card(call.body.agent_card)
        )
        reply: pb.UpdateCardResponse = await self._registry.call(
            self._stub.UpdateCard, request, on_behalf_of=call.identity
        )
        updated = CardUpdateResult(status="updated")
        add_card_notes(updated, reply)
        return updated

    async def discover(self, call: Call) -> object:
        """Return the address of a workspace for the caller; without one, the address of the plane."""
        request = pb.DiscoverWorkspaceRequest(workspace_id=call.workspace_id, caller_id=_find_caller_id(call))
        reply: pb.DiscoverWorkspaceResponse = await self._registry.call(
            self._stub.DiscoverWorkspace, request, on_behalf_of=call.identity
        )
        return DiscoveredWorkspace(
            id=reply.id,
            name=reply.name,
            url=reply.url or f"{call.base_url}/workspaces/{call.workspace_id}/a2a",
            delivery_mode=render_delivery_mode(reply.delivery_mode),
        )

    async def peers(self, call: Call) -> object:
        """List the workspaces with which a workspace may communicate."""
        return [render_peer(message) async for message in self._peers(call)]

    async def check_access(self, call: Call) -> object:
        """Return whether two workspaces may communicate."""
        request = pb.CheckAccessRequest(caller_id=call.body.caller_id, target_id=call.body.target_id)
        reply: pb.CheckAccessResponse = await self._registry.call(
            self._stub.CheckAccess, request, on_behalf_of=call.identity
        )
        return AccessDecision(allowed=reply.allowed)

    async def _peers(self, call: Call) -> AsyncIterator[pb.Workspace]:
        query, token = call.query.get("q", "").strip(), ""
        while True:
            request = pb.ListPeersRequest(
                workspace_id=call.workspace_id, query=query, page_size=PEER_PAGE_SIZE, page_token=token
            )
            reply: pb.ListPeersResponse = await self._registry.call(
                self._stub.ListPeers, request, on_behalf_of=call.identity
            )
            for message in reply.workspaces:
                yield message
            token = reply.next_page_token
            if not token:
                return


_HEARTBEAT = pb.DESCRIPTOR.services_by_name["RegistryService"].methods_by_name["Heartbeat"]

_MODES = {
    "": pb.DELIVERY_MODE_UNSPECIFIED,
    "push": pb.DELIVERY_MODE_PUSH,
    "poll": pb.DELIVERY_MODE_POLL,
}


def _build_heartbeat_request(workspace_id: str, body: Heartbeat) -> pb.HeartbeatRequest:
    return pb.HeartbeatRequest(
        workspace_id=workspace_id,
        error_rate=body.error_rate,
        sample_error=body.sample_error,
        current_task=body.current_task,
        active_tasks=body.active_tasks,
        uptime_seconds=body.uptime_seconds,
        monthly_spend=min(max(body.monthly_spend, 0), MAX_MONTHLY_SPEND),
        runtime_state=body.runtime_state,
        declarations=_build_declarations(body.runtime_metadata),
        agent_card=None if body.agent_card is None else encode_agent_card(body.agent_card),
    )


def _build_declarations(metadata: RuntimeMetadata | None) -> pb.Declarations | None:
    if metadata is None:
        return None
    idle = metadata.idle_timeout_seconds
    return pb.Declarations(capabilities=metadata.capabilities, idle_timeout_seconds=idle if idle > 0 else None)


def _find_caller_id(call: Call) -> str:
    """Return the workspace that asks: that of the bearer, or else the one that the caller claims to be."""
    if call.identity and call.identity.kind is Kind.WORKSPACE:
        return call.identity.name
    return parse_workspace_id(call.claimed_workspace) if call.claimed_workspace else ""


def _log_refused_register(workspace_id: str, error: ServiceError) -> None:
    """Log the line that operators look for when an agent does not come online."""
    named = workspace_id or "unknown"
    event = f"Registry register: workspace={named} boot_register_failed status={http_status(error)}"
    log.warning(event, reason=error.details.get("reason", error.reason.lower()))
