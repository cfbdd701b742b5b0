"""The servicer of schedules: translates between protobuf and the service."""

from protos.a2a_proxy.v1 import schedules_pb2 as pb
from protos.a2a_proxy.v1 import schedules_pb2_grpc as rpc
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.schedules import wire
from services.a2a_proxy.schedules.service import Schedules
from services.chassis import identity, pages
from services.chassis.rpc import Context

MAX_PAGE_SIZE = 1000


class ScheduleServicer(rpc.ScheduleServiceServicer):
    """One method for each RPC on schedules."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Context) -> pb.ListSchedulesResponse:
        found = await self._schedules.list_schedules(WorkspaceId(request.workspace_id))
        return pb.ListSchedulesResponse(schedules=[wire.schedule_to_proto(schedule) for schedule in found])

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Context) -> pb.CreateScheduleResponse:
        created = await self._schedules.create(
            WorkspaceId(request.workspace_id), request.request_id, wire.draft_from_request(request)
        )
        return pb.CreateScheduleResponse(schedule=wire.schedule_to_proto(created))

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Context) -> pb.UpdateScheduleResponse:
        changed = await self._schedules.update(
            WorkspaceId(request.workspace_id), request.schedule_id, wire.changes_from_request(request)
        )
        return pb.UpdateScheduleResponse(schedule=wire.schedule_to_proto(changed))

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Context) -> pb.DeleteScheduleResponse:
        await self._schedules.delete(WorkspaceId(request.workspace_id), request.schedule_id)
        return pb.DeleteScheduleResponse()

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:
        prompt = await self._schedules.get_prompt(WorkspaceId(request.workspace_id), request.schedule_id)
        return pb.RunScheduleResponse(prompt=prompt)

    async def ListScheduleRuns(
        self, request: pb.ListScheduleRunsRequest, context: Context
    ) -> pb.ListScheduleRunsResponse:
        runs = await self._schedules.list_runs(WorkspaceId(request.workspace_id), request.schedule_id)
        return pb.ListScheduleRunsResponse(runs=[wire.run_to_proto(run) for run in runs])

    async def ListScheduleHealth(
        self, request: pb.ListScheduleHealthRequest, context: Context
    ) -> pb.ListScheduleHealthResponse:
        found = await self._schedules.list_health(identity.current(), WorkspaceId(request.workspace_id))
        return pb.ListScheduleHealthResponse(schedules=[wire.schedule_to_proto(schedule) for schedule in found])

    async def ListAllScheduleHealth(
        self, request: pb.ListAllScheduleHealthRequest, context: Context
    ) -> pb.ListAllScheduleHealthResponse:
        page = await self._schedules.list_all_health(
            identity.current(),
            size=pages.choose_page_size(request.page_size, default=MAX_PAGE_SIZE, maximum=MAX_PAGE_SIZE),
            token=request.page_token,
        )
        return pb.ListAllScheduleHealthResponse(
            schedules=[wire.health_to_proto(one) for one in page.schedules], next_page_token=page.next_page_token
        )
