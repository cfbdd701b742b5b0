"""Routes of templates."""

from gateway.guards import ADMIN, PLATFORM
from gateway.limits import MAX_BULK_BODY_BYTES, MAX_FILES_BYTES
from gateway.request_body import BodySpec, body_too_large
from gateway.route import Call, Route
from gateway.schemas.templates import (
    ImportedTemplate,
    NewTemplate,
    Template,
    TemplateList,
    render_problem,
    render_template,
)
from protos.registry.v1 import templates_pb2 as pb
from protos.registry.v1 import templates_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel


class TemplateRoutes:
    """Routes to the registry, which keeps templates."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.TemplateServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/templates",
                handler=self.list_templates,
                summary="The templates that workspaces can be made from",
                guard=ADMIN,
                query={"problems": "`1`: also what is wrong with the directories that are no templates"},
                answer=list[Template] | TemplateList,
            ),
            Route(
                method="POST",
                path="/templates/import",
                handler=self.import_template,
                summary="Make a template of files",
                guard=PLATFORM,
                body=BodySpec(model=NewTemplate, max_bytes=MAX_BULK_BODY_BYTES),
                success=201,
                answer=ImportedTemplate,
                refusal_statuses=frozenset({400, 409}),
            ),
        ]

    async def list_templates(self, call: Call) -> object:
        """List the templates by directory."""
        reply: pb.ListTemplatesResponse = await self._registry.call(
            self._stub.ListTemplates, pb.ListTemplatesRequest(), on_behalf_of=call.identity
        )
        templates = [render_template(message) for message in reply.templates]
        if call.query.get("problems") != "1":
            return templates
        return TemplateList(templates=templates, problems=[render_problem(message) for message in reply.problems])

    async def import_template(self, call: Call) -> object:
        """Import a template."""
        if sum(len(path.encode()) + len(text.encode()) for path, text in call.body.files.items()) > MAX_FILES_BYTES:
            raise body_too_large(MAX_FILES_BYTES)
        request = pb.ImportTemplateRequest(name=call.body.name, files=call.body.files)
        reply: pb.ImportTemplateResponse = await self._registry.call(
            self._stub.ImportTemplate, request, on_behalf_of=call.identity
        )
        return ImportedTemplate(id=reply.id, name=call.body.name, status="imported")
