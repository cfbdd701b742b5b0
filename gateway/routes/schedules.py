"""Routes of schedules: prompts that workspaces receive at the times of cron expressions."""

import uuid
from collections.abc import AsyncIterator

from google.protobuf.field_mask_pb2 import FieldMask

from gateway.guards import ADMIN, MESSAGE, READ, WRITE
from gateway.request_body import BodySpec, refuse_with_text
from gateway.route import Call, Route
from gateway.schemas.schedules import (
    CreatedSchedule,
    NewSchedule,
    Schedule,
    ScheduleChangeResult,
    ScheduleChanges,
    ScheduleHealth,
    SchedulePunctuality,
    ScheduleRun,
    ScheduleToRun,
    render_created,
    render_health,
    render_punctuality,
    render_run,
    render_schedule,
)
from protos.a2a_proxy.v1 import schedules_pb2 as pb
from protos.a2a_proxy.v1 import schedules_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PAGE_SIZE = 1000


class ScheduleRoutes:
    """Routes to the A2A proxy, which keeps the schedules and fires them."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.ScheduleServiceStub(a2a_proxy.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/schedules",
                handler=self.list_schedules,
                summary="The schedules of a workspace, the oldest first",
                guard=READ,
                answer=list[Schedule],
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/schedules",
                handler=self.create,
                summary="Send a prompt to a workspace at the times of a cron expression",
                guard=WRITE,
                body=BodySpec(model=NewSchedule),
                success=201,
                answer=CreatedSchedule,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/schedules/health",
                handler=self.list_health,
                summary="How the schedules of a workspace run",
                guard=MESSAGE,
                answer=list[ScheduleHealth],
            ),
            Route(
                method="PATCH",
                path="/workspaces/{id}/schedules/{scheduleId}",
                handler=self.change,
                summary="Change a schedule",
                guard=WRITE,
                body=BodySpec(model=ScheduleChanges, fault_to_error=refuse_with_text("invalid JSON")),
                answer=ScheduleChangeResult,
                refusal_statuses=frozenset({404, 409, 410}),
            ),
            Route(
                method="DELETE",
                path="/workspaces/{id}/schedules/{scheduleId}",
                handler=self.delete,
                summary="Delete a schedule and its history",
                guard=WRITE,
                answer=ScheduleChangeResult,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="POST",
                path="/workspaces/{id}/schedules/{scheduleId}/run",
                handler=self.run,
                summary="The prompt of a schedule, for the caller to send it now",
                guard=WRITE,
                answer=ScheduleToRun,
                refusal_statuses=frozenset({404, 410}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/schedules/{scheduleId}/history",
                handler=self.list_runs,
                summary="The newest 20 runs of a schedule",
                guard=READ,
                answer=list[ScheduleRun],
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="GET",
                path="/admin/schedules/health",
                handler=self.list_all_health,
                summary="Whether the schedules of all workspaces run as often as they should",
                guard=ADMIN,
                answer=list[SchedulePunctuality],
            ),
        ]

    async def list_schedules(self, call: Call) -> object:
        """List the schedules of a workspace."""
        request = pb.ListSchedulesRequest(workspace_id=call.workspace_id)
        reply: pb.ListSchedulesResponse = await self._a2a_proxy.call(
            self._stub.ListSchedules, request, on_behalf_of=call.identity
        )
        return [render_schedule(message) for message in reply.schedules]

    async def create(self, call: Call) -> object:
        """Create a schedule."""
        request = pb.CreateScheduleRequest(
            workspace_id=call.workspace_id,
            request_id=str(uuid.uuid4()),
            name=call.body.name,
            cron_expr=call.body.cron_expr,
            timezone=call.body.timezone,
            prompt=call.body.prompt,
            enabled=call.body.enabled,
        )
        reply: pb.CreateScheduleResponse = await self._a2a_proxy.call(
            self._stub.CreateSchedule, request, on_behalf_of=call.identity
        )
        return render_created(reply.schedule)

    async def change(self, call: Call) -> object:
        """Change the fields that the body names."""
        fields = sorted(call.body.model_fields_set)
        request = pb.UpdateScheduleRequest(
            workspace_id=call.workspace_id,
            schedule_id=call.path["scheduleId"],
            schedule=pb.Schedule(**{name: getattr(call.body, name) for name in fields}),
            update_mask=FieldMask(paths=fields),
            allow_empty_mask=True,
        )
        await self._a2a_proxy.call(self._stub.UpdateSchedule, request, on_behalf_of=call.identity)
        return ScheduleChangeResult(status="updated")

    async def delete(self, call: Call) -> object:
        """Delete a schedule."""
        request = pb.DeleteScheduleRequest(workspace_id=call.workspace_id, schedule_id=call.path["scheduleId"])
        await self._a2a_proxy.call(self._stub.DeleteSchedule, request, on_behalf_of=call.identity)
        return ScheduleChangeResult(status="deleted")

    async def run(self, call: Call) -> object:
        """Return the prompt of a schedule."""
        request = pb.RunScheduleRequest(workspace_id=call.workspace_id, schedule_id=call.path["scheduleId"])
        reply: pb.RunScheduleResponse = await self._a2a_proxy.call(
            self._stub.RunSchedule, request, on_behalf_of=call.identity
        )
        return ScheduleToRun(status="fired", workspace_id=call.workspace_id, prompt=reply.prompt)

    async def list_runs(self, call: Call) -> object:
        """List the newest runs of a schedule."""
        schedule_id = call.path["scheduleId"]
        request = pb.ListScheduleRunsRequest(workspace_id=call.workspace_id, schedule_id=schedule_id)
        reply: pb.ListScheduleRunsResponse = await self._a2a_proxy.call(
            self._stub.ListScheduleRuns, request, on_behalf_of=call.identity
        )
        return [render_run(schedule_id, message) for message in reply.runs]

    async def list_health(self, call: Call) -> object:
        """List how the schedules of a workspace run."""
        request = pb.ListScheduleHealthRequest(workspace_id=call.workspace_id)
        reply: pb.ListScheduleHealthResponse = await self._a2a_proxy.call(
            self._stub.ListScheduleHealth, request, on_behalf_of=call.identity
        )
        return [render_health(message) for message in reply.schedules]

    async def list_all_health(self, call: Call) -> object:
        """List whether the schedules of all workspaces run as often as they should."""
        return [render_punctuality(message) async for message in self._pages(call)]

    async def _pages(self, call: Call) -> AsyncIterator[pb.ScheduleHealth]:
        token = ""
        while True:
            request = pb.ListAllScheduleHealthRequest(page_size=PAGE_SIZE, page_token=token)
            reply: pb.ListAllScheduleHealthResponse = await self._a2a_proxy.call(
                self._stub.ListAllScheduleHealth, request, on_behalf_of=call.identity
            )
            for message in reply.schedules:
                yield message
            token = reply.next_page_token
            if not token:
                return
