"""What workspaces are made from."""

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
    """Asks the registry, which keeps the templates."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.TemplateServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/templates",
                handler=self.list,
                summary="The templates that workspaces can be made from",
                guard=ADMIN,
                query={"problems": "`1`: also what is wrong with the directories that are no templates"},
                answer=list[Template] | TemplateList,
            ),
            Route(
                method="POST",
                path="/templates/import",
                handler=self.add,
                summary="Make a template of files",
                guard=PLATFORM,
                body=BodySpec(model=NewTemplate, max_bytes=MAX_BULK_BODY_BYTES),
                success=201,
                answer=ImportedTemplate,
                refusal_statuses=frozenset({400, 409}),
            ),
        ]

    async def list(self, call: Call) -> object:
        """Every template by its directory."""
        reply: pb.ListTemplatesResponse = await self._registry.call(
            self._stub.ListTemplates, pb.ListTemplatesRequest(), on_behalf_of=call.identity
        )
        templates = [render_template(message) for message in reply.templates]
        if call.query.get("problems") != "1":
            return templates
        return TemplateList(templates=templates, problems=[render_problem(message) for message in reply.problems])

    async def add(self, call: Call) -> object:
        """A new template."""
        if sum(len(path.encode()) + len(text.encode()) for path, text in call.body.files.items()) > MAX_FILES_BYTES:
            raise body_too_large(MAX_FILES_BYTES)
        request = pb.ImportTemplateRequest(name=call.body.name, files=call.body.files)
        reply: pb.ImportTemplateResponse = await self._registry.call(
            self._stub.ImportTemplate, request, on_behalf_of=call.identity
        )
        return ImportedTemplate(id=reply.id, name=call.body.name, status="imported")
