"""The servicer of templates."""

from protos.registry.v1 import templates_pb2 as pb
from protos.registry.v1 import templates_pb2_grpc as rpc
from services.chassis.rpc import Context
from services.registry.directory import Directory
from services.registry.model import WorkspaceId
from services.registry.templates import Templates
from services.registry.wire import templates as wire


class TemplateServicer(rpc.TemplateServiceServicer):
    """Unwraps, asks one part, wraps."""

    def __init__(self, *, templates: Templates, directory: Directory) -> None:
        self._templates = templates
        self._directory = directory

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Context) -> pb.ListTemplatesResponse:
        found, problems = await self._templates.all()
        return pb.ListTemplatesResponse(
            templates=[wire.template_to(template) for template in found],
            problems=[wire.problem_to(problem) for problem in problems],
        )

    async def ImportTemplate(self, request: pb.ImportTemplateRequest, context: Context) -> pb.ImportTemplateResponse:
        return pb.ImportTemplateResponse(id=await self._templates.add(request.name, dict(request.files)))

    async def GetInstanceFiles(
        self, request: pb.GetInstanceFilesRequest, context: Context
    ) -> pb.GetInstanceFilesResponse:
        files = await self._directory.instance_files(WorkspaceId(request.workspace_id))
        return pb.GetInstanceFilesResponse(files=files)
