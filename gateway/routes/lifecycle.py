"""Routes that pause, resume and hibernate workspaces and cancel their starts, and the state that their agents read."""

from datetime import timedelta
from typing import cast

from starlette.responses import Response

from gateway.errors import AUTH, REGISTRY
from gateway.guards import ADMIN, STATE, WRITE
from gateway.json_format import json_response
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.lifecycle import (
    BootstrapFailure,
    BootstrapFailureResult,
    CancellationResult,
    HibernationResult,
    PauseResult,
    ResumeResult,
    WorkspaceState,
)
from gateway.schemas.workspaces import render_status
from protos.registry.v1 import lifecycle_pb2 as pb
from protos.registry.v1 import lifecycle_pb2_grpc as rpc
from protos.registry.v1 import provisioning_pb2, provisioning_pb2_grpc, registry_pb2, registry_pb2_grpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

HIBERNATION_TIMEOUT = timedelta(seconds=40)
"""Time for a hibernation: the registry waits up to 30 seconds for the instance to stop."""

MAX_LOG_TAIL_BYTES = 8192
"""Bytes of the log of an instance that are sent on: its end."""

TRUNCATION_MARK = "...(truncated)...\n"

DEFAULT_FAILURE_TEXT = "bootstrap failed — see log_tail"

DELETED_REASONS = {
    (AUTH, "WORKSPACE_UNKNOWN"): {},
    (REGISTRY, "WORKSPACE_NOT_FOUND"): {},
    (AUTH, "WORKSPACE_BARRED"): {"status": "removed"},
}
"""Errors that mean that the workspace is deleted, with further members of the answer."""


class LifecycleRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.LifecycleServiceStub(registry.channel)
        self._workspaces = registry_pb2_grpc.RegistryServiceStub(registry.channel)
        self._provisioning = provisioning_pb2_grpc.ProvisioningServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/pause",
                handler=self.pause,
                summary="Stop a workspace and all below it until it is resumed",
                guard=WRITE,
                answer=PauseResult,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/resume",
                handler=self.resume,
                summary="Start a paused workspace again, and what is paused below it",
                guard=WRITE,
                answer=ResumeResult,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/hibernate",
                handler=self.hibernate,
                summary="Stop an agent until it is needed",
                guard=WRITE,
                query={"force": "`true`: also while it has active tasks"},
                answer=HibernationResult,
                refusal_statuses=frozenset({404, 409, 502}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/provision/cancel",
                handler=self.cancel_provisioning,
                summary="Cancel the start of a workspace",
                guard=WRITE,
                answer=CancellationResult,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="POST",
                path="/admin/workspaces/{id}/bootstrap-failed",
                handler=self.report_bootstrap_failure,
                summary="Report that an instance does not boot",
                guard=ADMIN,
                body=BodySpec(model=BootstrapFailure, required=False),
                answer=BootstrapFailureResult,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/state",
                handler=self.read_state,
                summary="How a workspace stands, for its own agent",
                guard=STATE,
                answer=WorkspaceState,
                refusal_statuses=frozenset({404}),
                render_refusal=_render_deleted,
            ),
        ]

    async def pause(self, call: Call) -> object:
        """Pause a workspace; answered after the commit."""
        request = pb.PauseWorkspaceRequest(workspace_id=call.workspace_id)
        reply: pb.PauseWorkspaceResponse = await self._registry.call(
            self._stub.PauseWorkspace, request, on_behalf_of=call.identity
        )
        paused = PauseResult(status="paused", paused_count=reply.paused)
        return paused | {"stops_later": True} if reply.stops_later else paused

    async def resume(self, call: Call) -> object:
        """Resume a workspace; answered after the commit."""
        request = pb.ResumeWorkspaceRequest(workspace_id=call.workspace_id)
        reply: pb.ResumeWorkspaceResponse = await self._registry.call(
            self._stub.ResumeWorkspace, request, on_behalf_of=call.identity
        )
        return ResumeResult(status=render_status(reply.status), resumed_count=reply.resumed)

    async def cancel_provisioning(self, call: Call) -> object:
        """Cancel the start of a workspace; answered after the commit, before its instance is stopped."""
        request = provisioning_pb2.CancelProvisioningRequest(workspace_id=call.workspace_id)
        reply: provisioning_pb2.CancelProvisioningResponse = await self._registry.call(
            self._provisioning.CancelProvisioning, request, on_behalf_of=call.identity
        )
        workspace = reply.workspace
        return CancellationResult(status=render_status(workspace.status), status_reason=workspace.status_reason)

    async def hibernate(self, call: Call) -> object:
        """Hibernate a workspace; answered once its instance has stopped."""
        request = pb.HibernateWorkspaceRequest(workspace_id=call.workspace_id, force=call.query.get("force") == "true")
        await self._registry.call(
            self._stub.HibernateWorkspace, request, on_behalf_of=call.identity, timeout=HIBERNATION_TIMEOUT
        )
        return HibernationResult(status="hibernated")

    async def report_bootstrap_failure(self, call: Call) -> object:
        """Report that an instance does not boot."""
        request = pb.ReportBootstrapFailureRequest(
            workspace_id=call.workspace_id,
            error=call.body.error or DEFAULT_FAILURE_TEXT,
            log_tail=_cut_log(call.body.log_tail),
        )
        reply: pb.ReportBootstrapFailureResponse = await self._registry.call(
            self._stub.ReportBootstrapFailure, request, on_behalf_of=call.identity
        )
        return BootstrapFailureResult(ok=True) if reply.changed else BootstrapFailureResult(ok=True, no_change=True)

    async def read_state(self, call: Call) -> object:
        """Return the state of the caller's own workspace."""
        request = registry_pb2.GetWorkspaceRequest(workspace_id=call.workspace_id)
        reply = await self._registry.call(self._workspaces.GetWorkspace, request, on_behalf_of=call.identity)
        status = render_status(cast("registry_pb2.GetWorkspaceResponse", reply).workspace.status)
        return WorkspaceState(workspace_id=call.workspace_id, status=status, paused=status == "paused", deleted=False)


def _render_deleted(workspace_id: str, error: ServiceError) -> Response | None:
    """Render the answer to an agent whose workspace is deleted, which may have revoked its token."""
    more = DELETED_REASONS.get((error.domain, error.reason))
    return None if more is None else json_response({"workspace_id": workspace_id, "deleted": True, **more}, 404)


def _cut_log(log: str) -> str:
    """Return the end of a log, cut between characters."""
    encoded = log.encode()
    if len(encoded) <= MAX_LOG_TAIL_BYTES:
        return log
    return TRUNCATION_MARK + encoded[-MAX_LOG_TAIL_BYTES:].decode(errors="ignore")
