"""Routes that create, read, change, remove and restart workspaces."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlencode

from google.protobuf.field_mask_pb2 import FieldMask

from gateway import connect_snippets
from gateway.errors import MalformedRequest
from gateway.guards import ADMIN, ANY, WRITE
from gateway.json_format import json_response
from gateway.query_params import parse_limit
from gateway.request_body import BodyFault, BodySpec, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.workspaces import (
    CreatedWorkspace,
    ListedWorkspace,
    NewWorkspace,
    RemovalResult,
    RestartOptions,
    RestartResult,
    Workspace,
    WorkspaceChanges,
    WorkspaceUpdateResult,
    render_listed_workspace,
    render_status,
    render_workspace,
)
from protos.registry.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

REMOVAL_TIMEOUT = timedelta(seconds=40)
"""Time for a removal: the registry waits up to 30 seconds for instances to stop."""

MAX_PAGE_SIZE = 500
"""Workspaces of the largest page that a client may ask for."""

PAGE_SIZE = 100
"""Workspaces of one page; the registry sends fewer if their cards are large."""


class WorkspaceRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._lifecycle = lifecycle_pb2_grpc.LifecycleServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces",
                handler=self.create,
                summary="Create a workspace",
                guard=ADMIN,
                body=BodySpec(model=NewWorkspace, fault_to_error=refuse_with_text("invalid workspace payload")),
                success=201,
                answer=CreatedWorkspace,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="GET",
                path="/workspaces",
                handler=self.list_workspaces,
                summary="All workspaces, by creation time",
                guard=ADMIN,
                query={
                    "limit": "Workspaces of one page, 1 to 500; without `limit` and `cursor` all are listed",
                    "cursor": "Where the page begins: that of the `Link` header of the page before",
                },
                answer=list[ListedWorkspace],
            ),
            Route(
                method="GET",
                path="/workspaces/{id}",
                handler=self.get,
                summary="One workspace, also a removed one",
                guard=ANY,
                answer=Workspace,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="PATCH",
                path="/workspaces/{id}",
                handler=self.change,
                summary="Change fields of a workspace",
                guard=WRITE,
                body=BodySpec(model=WorkspaceChanges, fault_to_error=_refuse_field),
                answer=WorkspaceUpdateResult,
                refusal_statuses=frozenset({404, 409, 410, 422}),
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}",
                handler=self.remove,
                summary="Remove a workspace and all below it",
                guard=ADMIN,
                query={
                    "confirm": "`true`: remove what is below, too",
                    "purge": "`true`: erase all records as well",
                },
                answer=RemovalResult,
                refusal_statuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/restart",
                handler=self.restart,
                summary="Start the agent anew",
                guard=WRITE,
                body=BodySpec(model=RestartOptions, required=False),
                query={"reset": "refused with `true`: no backend keeps a session apart from the files"},
                answer=RestartResult,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
        ]

    async def create(self, call: Call) -> object:
        """Create a workspace; for an external agent the answer says how it connects."""
        reply: pb.CreateWorkspaceResponse = await self._registry.call(
            self._stub.CreateWorkspace, _build_create_request(call.body), on_behalf_of=call.identity
        )
        created = reply.workspace
        if created.external:
            connection = connect_snippets.build_connection(created, token=reply.auth_token, platform_url=call.base_url)
            return CreatedWorkspace(
                id=created.id, external=True, status=render_status(created.status), connection=connection
            )
        return CreatedWorkspace(
            id=created.id,
            status=render_status(created.status),
            awareness_namespace=f"workspace:{created.id}",
            workspace_access=created.workspace_access,
        )

    async def list_workspaces(self, call: Call) -> object:
        """List the workspaces that the caller may see: all, or one page with a link to the next one."""
        if "limit" not in call.query and "cursor" not in call.query:
            return [render_listed_workspace(message) async for message in self._pages(call)]
        limit = parse_limit(call.query.get("limit", ""), maximum=MAX_PAGE_SIZE, default=PAGE_SIZE)
        reply = await self._read_page(call, size=limit, token=call.query.get("cursor", ""))
        return json_response(
            [render_listed_workspace(message) for message in reply.workspaces],
            headers=_build_link(call, limit, reply.next_page_token),
        )

    async def get(self, call: Call) -> object:
        """Return one workspace."""
        request = pb.GetWorkspaceRequest(workspace_id=call.workspace_id)
        reply: pb.GetWorkspaceResponse = await self._registry.call(
            self._stub.GetWorkspace, request, on_behalf_of=call.identity
        )
        return render_workspace(reply.workspace)

    async def change(self, call: Call) -> object:
        """Change the fields that the body names. A body without fields has the registry look for the workspace."""
        fields = sorted(call.body.model_fields_set)
        values = {name: getattr(call.body, name) for name in fields}
        request = pb.UpdateWorkspaceRequest(
            workspace_id=call.workspace_id,
            changes=pb.WorkspaceChanges(**{name: value for name, value in values.items() if value is not None}),
            update_mask=FieldMask(paths=fields),
            allow_empty_mask=True,
        )
        reply: pb.UpdateWorkspaceResponse = await self._registry.call(
            self._stub.UpdateWorkspace, request, on_behalf_of=call.identity
        )
        return _render_update(reply, fields)

    async def remove(self, call: Call) -> object:
        """Remove a workspace; answered once its instances have stopped."""
        purge = call.query.get("purge") == "true"
        request = pb.RemoveWorkspaceRequest(
            workspace_id=call.workspace_id, confirm=call.query.get("confirm") == "true", purge=purge
        )
        reply: pb.RemoveWorkspaceResponse = await self._registry.call(
            self._stub.RemoveWorkspace, request, on_behalf_of=call.identity, timeout=REMOVAL_TIMEOUT
        )
        return RemovalResult(status="purged" if purge else "removed", cascade_deleted=reply.cascade_deleted)

    async def restart(self, call: Call) -> object:
        """Request a new instance; answered after the commit."""
        if call.body.reset or call.query.get("reset") == "true":
            raise MalformedRequest(details={"detail": "this backend has no session to reset: restart without reset"})
        request = lifecycle_pb2.RestartWorkspaceRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            template=call.body.template,
            apply_template=call.body.apply_template,
            rebuild_config=call.body.rebuild_config,
        )
        reply: lifecycle_pb2.RestartWorkspaceResponse = await self._registry.call(
            self._lifecycle.RestartWorkspace, request, on_behalf_of=call.identity
        )
        return RestartResult(
            status=render_status(reply.workspace.status),
            config_dir=reply.template or "existing-volume",
            reset_session=False,
        )

    async def _pages(self, call: Call) -> AsyncIterator[pb.Workspace]:
        token = ""
        while True:
            reply = await self._read_page(call, size=PAGE_SIZE, token=token)
            for message in reply.workspaces:
                yield message
            token = reply.next_page_token
            if not token:
                return

    async def _read_page(self, call: Call, *, size: int, token: str) -> pb.ListWorkspacesResponse:
        request = pb.ListWorkspacesRequest(page_size=size, page_token=token)
        reply: pb.ListWorkspacesResponse = await self._registry.call(
            self._stub.ListWorkspaces, request, on_behalf_of=call.identity
        )
        return reply


def _build_link(call: Call, limit: int, next_cursor: str) -> dict[str, str]:
    """Return the header that names the next page (RFC 8288); the last page has none."""
    if not next_cursor:
        return {}
    query = urlencode({"limit": limit, "cursor": next_cursor})
    return {"Link": f'<{call.base_url}/workspaces?{query}>; rel="next"'}


def _build_create_request(body: NewWorkspace) -> pb.CreateWorkspaceRequest:
    """Return the request of a body. A tier is sent with its presence, so that the registry can refuse 0."""
    return pb.CreateWorkspaceRequest(
        request_id=str(uuid.uuid4()),
        name=body.name,
        role=body.role,
        runtime=body.runtime,
        model=body.model,
        template=body.template,
        tier=body.tier,
        parent_id=body.parent_id,
        external=body.external,
        url=body.url,
        delivery_mode=body.delivery_mode,
        workspace_dir=body.workspace_dir,
        workspace_access=body.workspace_access,
        budget_limit=body.budget_limit,
        max_concurrent_tasks=body.max_concurrent_tasks,
        hibernation_idle_minutes=body.hibernation_idle_minutes,
        x=body.canvas.x,
        y=body.canvas.y,
        secrets=body.secrets,
        initial_memories=[pb.InitialMemory(content=one.content, scope=one.scope) for one in body.initial_memories],
    )


def _render_update(reply: pb.UpdateWorkspaceResponse, fields: list[str]) -> WorkspaceUpdateResult:
    changed = WorkspaceUpdateResult(status="updated")
    if reply.needs_restart or "workspace_dir" in fields:
        changed["needs_restart"] = True
    if reply.model_was_reset:
        changed["model_was_reset"] = True
        changed["model"] = reply.workspace.model
    return changed


def _refuse_field(fault: BodyFault) -> ServiceError:
    if not fault.field:
        return MalformedRequest()
    return MalformedRequest(f"invalid value for field: {fault.field}", details={"field": fault.field})
