"""The gRPC servicer of TemplateService."""

from protos.registry.v1 import templates_pb2 as pb
from protos.registry.v1 import templates_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.directory.queries import WorkspaceQueries
from services.registry.organisations.org_folders import OrgTemplateFolders
from services.registry.organisations.org_import import OrgImporter, OrgImportResult
from services.registry.organisations.teams import Teams
from services.registry.templates.folders import TemplateFolders
from services.registry.wire import templates as wire
from services.registry.workspace.model import WorkspaceId


class TemplateServicer(rpc.TemplateServiceServicer):
    """Converts between protobuf and the templates, imports and teams."""

    def __init__(
        self,
        *,
        templates: TemplateFolders,
        folders: OrgTemplateFolders,
        orgs: OrgImporter,
        teams: Teams,
        queries: WorkspaceQueries,
    ) -> None:
        self._templates = templates
        self._folders = folders
        self._orgs = orgs
        self._teams = teams
        self._queries = queries

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Context) -> pb.ListTemplatesResponse:
        found, problems = await self._templates.list_templates()
        return pb.ListTemplatesResponse(
            templates=[wire.template_to(template) for template in found],
            problems=[wire.problem_to(problem) for problem in problems],
        )

    async def ImportTemplate(self, request: pb.ImportTemplateRequest, context: Context) -> pb.ImportTemplateResponse:
        return pb.ImportTemplateResponse(id=await self._templates.import_template(request.name, dict(request.files)))

    async def ListOrgTemplates(
        self, request: pb.ListOrgTemplatesRequest, context: Context
    ) -> pb.ListOrgTemplatesResponse:
        found = await self._folders.list_templates()
        return pb.ListOrgTemplatesResponse(templates=[wire.org_template_to(template) for template in found])

    async def ImportOrg(self, request: pb.ImportOrgRequest, context: Context) -> pb.ImportOrgResponse:
        caller, request_id = identity.current(), request.request_id
        if request.HasField("dir"):
            result = await self._orgs.import_dir(caller, request_id, request.dir, dry_run=request.dry_run)
        else:
            result = await self._orgs.import_template(caller, request_id, request.template, dry_run=request.dry_run)
        return _org_import_to(result)

    async def ExpandTeam(self, request: pb.ExpandTeamRequest, context: Context) -> pb.ExpandTeamResponse:
        children = await self._teams.expand(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ExpandTeamResponse(
            children=[pb.TeamMember(id=child.id, name=child.name, role=child.role) for child in children]
        )

    async def CollapseTeam(self, request: pb.CollapseTeamRequest, context: Context) -> pb.CollapseTeamResponse:
        caller, workspace_id = identity.current(), WorkspaceId(request.workspace_id)
        collapse = self._teams.preview_collapse if request.dry_run else self._teams.collapse
        removed = await collapse(caller, workspace_id)
        return pb.CollapseTeamResponse(removed=removed)

    async def GetInstanceFiles(
        self, request: pb.GetInstanceFilesRequest, context: Context
    ) -> pb.GetInstanceFilesResponse:
        files = await self._queries.instance_files(WorkspaceId(request.workspace_id))
        return pb.GetInstanceFilesResponse(files=files)


def _org_import_to(result: OrgImportResult) -> pb.ImportOrgResponse:
    return pb.ImportOrgResponse(
        org=result.org,
        members=[
            pb.OrgMember(
                id=member.id or "", name=member.name, tier=member.tier, runtime=member.runtime, parent=member.parent
            )
            for member in result.members
        ],
        unset_env=wire.needs_to(result.unset),
    )
