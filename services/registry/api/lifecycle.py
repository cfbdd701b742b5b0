"""The servicer of LifecycleService: converts protobuf and calls one service per RPC."""

from protos.registry.v1 import lifecycle_pb2 as pb
from protos.registry.v1 import lifecycle_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.clock import Clock
from services.chassis.rpc import Context
from services.registry.lifecycle.idleness import IdlenessService
from services.registry.lifecycle.pausing import PausingService
from services.registry.lifecycle.restarts import RestartService, TemplateChoice
from services.registry.wire import lifecycle as lifecycle_wire
from services.registry.wire import workspaces as wire
from services.registry.workspace.model import ListedWorkspace, WorkspaceId


class LifecycleServicer(rpc.LifecycleServiceServicer):
    """Serves the RPCs that pause, resume, hibernate, wake and restart workspaces."""

    def __init__(
        self, pausing: PausingService, restarts: RestartService, idleness: IdlenessService, *, clock: Clock
    ) -> None:
        self._pausing = pausing
        self._restarts = restarts
        self._idleness = idleness
        self._clock = clock

    async def PauseWorkspace(self, request: pb.PauseWorkspaceRequest, context: Context) -> pb.PauseWorkspaceResponse:
        paused, watched = await self._pausing.pause(identity.current(), WorkspaceId(request.workspace_id))
        return pb.PauseWorkspaceResponse(paused=paused, stops_later=not watched)

    async def ResumeWorkspace(self, request: pb.ResumeWorkspaceRequest, context: Context) -> pb.ResumeWorkspaceResponse:
        workspace, resumed = await self._pausing.resume(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ResumeWorkspaceResponse(status=wire.build_status(workspace.status), resumed=resumed)

    async def HibernateWorkspace(
        self, request: pb.HibernateWorkspaceRequest, context: Context
    ) -> pb.HibernateWorkspaceResponse:
        await self._pausing.hibernate(identity.current(), WorkspaceId(request.workspace_id), force=request.force)
        return pb.HibernateWorkspaceResponse()

    async def WakeWorkspace(self, request: pb.WakeWorkspaceRequest, context: Context) -> pb.WakeWorkspaceResponse:
        await self._pausing.wake(WorkspaceId(request.workspace_id))
        return pb.WakeWorkspaceResponse()

    async def RenewWorkspace(self, request: pb.RenewWorkspaceRequest, context: Context) -> pb.RenewWorkspaceResponse:
        actor, changes = lifecycle_wire.parse_plugin_changes(request)
        await self._restarts.renew(WorkspaceId(request.workspace_id), actor, changes)
        return pb.RenewWorkspaceResponse()

    async def ReportWork(self, request: pb.ReportWorkRequest, context: Context) -> pb.ReportWorkResponse:
        await self._idleness.receive(lifecycle_wire.parse_work_report(request, self._clock.now()))
        return pb.ReportWorkResponse()

    async def ReportBootstrapFailure(
        self, request: pb.ReportBootstrapFailureRequest, context: Context
    ) -> pb.ReportBootstrapFailureResponse:
        changed = await self._pausing.declare_failed(
            identity.current(), WorkspaceId(request.workspace_id), error=request.error, log_tail=request.log_tail
        )
        return pb.ReportBootstrapFailureResponse(changed=changed)

    async def RestartWorkspace(
        self, request: pb.RestartWorkspaceRequest, context: Context
    ) -> pb.RestartWorkspaceResponse:
        choice = TemplateChoice(
            template=request.template,
            apply_template=request.apply_template,
            rebuild_config=request.rebuild_config,
        )
        result = await self._restarts.restart(
            identity.current(), WorkspaceId(request.workspace_id), request.request_id, choice
        )
        return pb.RestartWorkspaceResponse(
            workspace=wire.build_workspace(ListedWorkspace(result.workspace)),
            template=result.starter_files.template if result.starter_files else "",
        )
