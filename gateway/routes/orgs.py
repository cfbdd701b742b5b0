"""Routes that import organisations, and expand and collapse teams."""

import uuid
from datetime import timedelta

from starlette.responses import Response

from gateway.guards import ADMIN, PLATFORM, WRITE
from gateway.json_format import encode_json, json_response
from gateway.limits import MAX_BULK_BODY_BYTES, MAX_FILES_BYTES
from gateway.request_body import BodySpec, body_too_large
from gateway.route import Call, Route
from gateway.schemas.orgs import (
    CollapseOptions,
    CollapseResult,
    ExpansionResult,
    ImportedOrg,
    OrgImport,
    OrgTemplate,
    PlannedOrg,
    TeamMember,
    render_imported_org,
    render_org_template,
    render_planned_org,
)
from protos.registry.v1 import templates_pb2 as pb
from protos.registry.v1 import templates_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

IMPORT_TIMEOUT = timedelta(seconds=40)
"""Time to create or to stop hundreds of workspaces."""


class OrgRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.TemplateServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/org/templates",
                handler=self.list_templates,
                summary="The organisations that can be imported",
                guard=ADMIN,
                answer=list[OrgTemplate],
            ),
            Route(
                method="POST",
                path="/org/import",
                handler=self.import_org,
                summary="Make all workspaces of an organisation, or none; with `dry_run` say what would be made (200)",
                guard=PLATFORM,
                body=BodySpec(model=OrgImport, max_bytes=MAX_BULK_BODY_BYTES),
                success=201,
                answer=ImportedOrg,
                other_answers={200: PlannedOrg},
                refusal_statuses=frozenset({404, 412}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/expand",
                handler=self.expand,
                summary="Make the team that the config of a workspace declares",
                guard=WRITE,
                answer=ExpansionResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/collapse",
                handler=self.collapse,
                summary="Remove everything below a workspace; with `dry_run` say what would go",
                guard=WRITE,
                body=BodySpec(model=CollapseOptions, required=False),
                answer=CollapseResult,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def list_templates(self, call: Call) -> object:
        """List the org templates by directory."""
        reply: pb.ListOrgTemplatesResponse = await self._registry.call(
            self._stub.ListOrgTemplates, pb.ListOrgTemplatesRequest(), on_behalf_of=call.identity
        )
        return [render_org_template(message) for message in reply.templates]

    async def import_org(self, call: Call) -> object:
        """Import an organisation, or return what an import would create."""
        request = pb.ImportOrgRequest(request_id=str(uuid.uuid4()), dry_run=call.body.dry_run)
        if call.body.dir:
            request.dir = call.body.dir
        elif call.body.template is not None:
            request.template = _check_size(encode_json(call.body.template))
        reply: pb.ImportOrgResponse = await self._registry.call(
            self._stub.ImportOrg, request, on_behalf_of=call.identity, timeout=IMPORT_TIMEOUT
        )
        return _render_dry_run(render_planned_org(reply)) if call.body.dry_run else render_imported_org(reply)

    async def expand(self, call: Call) -> object:
        """Create the team that the config of a workspace declares."""
        reply: pb.ExpandTeamResponse = await self._registry.call(
            self._stub.ExpandTeam,
            pb.ExpandTeamRequest(workspace_id=call.workspace_id),
            on_behalf_of=call.identity,
            timeout=IMPORT_TIMEOUT,
        )
        children = [
            TeamMember(id=child.id, name=child.name, role=child.role if child.HasField("role") else None)
            for child in reply.children
        ]
        return ExpansionResult(status="expanded", children=children)

    async def collapse(self, call: Call) -> object:
        """Remove the descendants of a workspace, or return what would be removed."""
        reply: pb.CollapseTeamResponse = await self._registry.call(
            self._stub.CollapseTeam,
            pb.CollapseTeamRequest(workspace_id=call.workspace_id, dry_run=call.body.dry_run),
            on_behalf_of=call.identity,
            timeout=IMPORT_TIMEOUT,
        )
        return CollapseResult(status="unchanged" if call.body.dry_run else "collapsed", removed=list(reply.removed))


def _render_dry_run(planned: PlannedOrg) -> Response:
    return json_response(planned, 200)


def _check_size(template: bytes) -> bytes:
    if len(template) > MAX_FILES_BYTES:
        raise body_too_large(MAX_FILES_BYTES)
    return template
