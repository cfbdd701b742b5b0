"""The life of workspaces: create, read, change, remove, restart."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

from google.protobuf.field_mask_pb2 import FieldMask

from gateway import connection
from gateway.answers.workspaces import Changed, Created, Removed, Restarting
from gateway.bodies import Body, Fault, saying
from gateway.errors import Malformed
from gateway.render import workspaces as render
from gateway.route import ADMIN, ANY, WRITE, Call, Route
from gateway.shapes import workspaces as shapes
from protos.registry.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, ServiceError

REMOVAL = timedelta(seconds=40)
"""How long a removal may take: the registry waits up to 30 seconds for instances to stop."""

PAGE = 100
"""Workspaces asked for at once. Where their cards are large, fewer come."""

TIERS = range(1, 5)


class WorkspaceRoutes:
    """Asks the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.RegistryServiceStub(registry.channel)
        self._lifecycle = lifecycle_pb2_grpc.LifecycleServiceStub(registry.channel)

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="POST",
                path="/workspaces",
                handler=self.create,
                summary="Create a workspace",
                guard=ADMIN,
                body=Body(shape=shapes.NewWorkspace, refusal=saying("invalid workspace payload")),
                success=201,
                answer=Created,
                refuses=frozenset({404}),
            ),
            Route(
                method="GET",
                path="/workspaces",
                handler=self.list,
                summary="All workspaces, by creation time",
                guard=ADMIN,
                answer=list[render.ListedWorkspace],
            ),
            Route(
                method="GET",
                path="/workspaces/{id}",
                handler=self.get,
                summary="One workspace, also a removed one",
                guard=ANY,
                answer=render.Workspace,
                refuses=frozenset({404}),
            ),
            Route(
                method="PATCH",
                path="/workspaces/{id}",
                handler=self.change,
                summary="Change fields of a workspace",
                guard=WRITE,
                body=Body(shape=shapes.Changes, refusal=_naming_the_field),
                answer=Changed,
                refuses=frozenset({404, 409, 410, 422}),
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
                answer=Removed,
                refuses=frozenset({404, 409}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/restart",
                handler=self.restart,
                summary="Start the agent anew",
                guard=WRITE,
                body=Body(shape=shapes.Restart, required=False),
                query={"reset": "refused with `true`: no backend keeps a session apart from the files"},
                answer=Restarting,
                refuses=frozenset({404, 409, 410}),
            ),
        ]

    async def create(self, call: Call) -> object:
        """A new workspace; one whose agent the plane does not start is told how to connect."""
        reply: pb.CreateWorkspaceResponse = await self._registry.call(
            self._stub.CreateWorkspace, _wanted(call.body), on_behalf_of=call.identity
        )
        made = reply.workspace
        if made.external:
            told = connection.of(made, token=reply.auth_token, platform_url=call.base_url)
            return Created(id=made.id, external=True, status=render.status(made.status), connection=told)
        return Created(
            id=made.id,
            status=render.status(made.status),
            awareness_namespace=f"workspace:{made.id}",
            workspace_access=made.workspace_access,
        )

    async def list(self, call: Call) -> object:
        """Every workspace that the caller may see."""
        return [render.listed_workspace(message) async for message in self._pages(call)]

    async def get(self, call: Call) -> object:
        """One workspace."""
        return render.workspace(await self._get(call))

    async def change(self, call: Call) -> object:
        """Change what the body names. A body that names nothing still has to find its workspace."""
        named = sorted(call.body.model_fields_set)
        if not named:
            await self._find_unchanged(call)
            return Changed(status="updated")
        values = {name: getattr(call.body, name) for name in named}
        request = pb.UpdateWorkspaceRequest(
            workspace_id=call.workspace_id,
            changes=pb.WorkspaceChanges(**{name: value for name, value in values.items() if value is not None}),
            update_mask=FieldMask(paths=named),
        )
        reply: pb.UpdateWorkspaceResponse = await self._registry.call(
            self._stub.UpdateWorkspace, request, on_behalf_of=call.identity
        )
        return _changed(reply, named)

    async def remove(self, call: Call) -> object:
        """Remove a workspace; answered when its instances are stopped."""
        purge = call.query.get("purge") == "true"
        request = pb.RemoveWorkspaceRequest(
            workspace_id=call.workspace_id, confirm=call.query.get("confirm") == "true", purge=purge
        )
        reply: pb.RemoveWorkspaceResponse = await self._registry.call(
            self._stub.RemoveWorkspace, request, on_behalf_of=call.identity, timeout=REMOVAL
        )
        return Removed(status="purged" if purge else "removed", cascade_deleted=reply.cascade_deleted)

    async def restart(self, call: Call) -> object:
        """Ask for a fresh instance; answered when the wish is written."""
        if call.body.reset or call.query.get("reset") == "true":
            raise Malformed(details={"detail": "this backend has no session to reset: restart without reset"})
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
        return Restarting(
            status=render.status(reply.workspace.status),
            config_dir=reply.template or "existing-volume",
            reset_session=False,
        )

    async def _get(self, call: Call) -> pb.Workspace:
        request = pb.GetWorkspaceRequest(workspace_id=call.workspace_id)
        reply = await self._registry.call(self._stub.GetWorkspace, request, on_behalf_of=call.identity)
        return cast("pb.GetWorkspaceResponse", reply).workspace

    async def _find_unchanged(self, call: Call) -> None:
        if (await self._get(call)).status == pb.WORKSPACE_STATUS_REMOVED:
            raise WorkspaceRemoved

    async def _pages(self, call: Call) -> AsyncIterator[pb.Workspace]:
        token = ""
        while True:
            request = pb.ListWorkspacesRequest(page_size=PAGE, page_token=token)
            reply: pb.ListWorkspacesResponse = await self._registry.call(
                self._stub.ListWorkspaces, request, on_behalf_of=call.identity
            )
            for message in reply.workspaces:
                yield message
            token = reply.next_page_token
            if not token:
                return


class WorkspaceRemoved(FailedPrecondition):
    """A write on a workspace that has been removed."""

    domain = "molecule.registry.v1"
    reason = "WORKSPACE_REMOVED"
    message = "workspace removed"


def _wanted(body: shapes.NewWorkspace) -> pb.CreateWorkspaceRequest:
    """The body as the registry takes it. What the plane cannot do yet is refused before anything is written."""
    if body.tier is not None and body.tier not in TIERS:
        raise Malformed("invalid workspace fields")
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


def _changed(reply: pb.UpdateWorkspaceResponse, named: list[str]) -> Changed:
    changed = Changed(status="updated")
    if reply.needs_restart or "workspace_dir" in named:
        changed["needs_restart"] = True
    if reply.model_was_reset:
        changed["model_was_reset"] = True
        changed["model"] = reply.workspace.model
    return changed


def _naming_the_field(fault: Fault) -> ServiceError:
    if not fault.field:
        return Malformed()
    return Malformed(f"invalid value for field: {fault.field}", details={"field": fault.field})
