"""Routes of the liveness of background loops."""

import asyncio
from datetime import timedelta

from gateway.clients import ServiceChannels
from gateway.guards import OPERATION
from gateway.route import Call, Route
from gateway.schemas.liveness import LivenessReport, render_subsystems
from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError

LIVENESS_TIMEOUT = timedelta(seconds=1)
"""Time for a replica to answer."""


class LivenessRoutes:
    """Routes to every replica that the gateway knows."""

    def __init__(self, clients: ServiceChannels) -> None:
        self._replicas = (*clients.each_registry, *clients.each_a2a_proxy, clients.auth, clients.provisioner)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/admin/liveness",
                handler=self.list,
                summary="When the loops of the services last ticked",
                guard=OPERATION,
                answer=LivenessReport,
            )
        ]

    async def list(self, _: Call) -> object:
        """Return the loops of the replicas that answer; `/ready` names the services that do not."""
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(self._get_liveness(line)) for line in self._replicas]
        return LivenessReport(subsystems=render_subsystems([answer.result() for answer in answers]))

    async def _get_liveness(self, channel: ServiceChannel) -> pb.GetLivenessResponse:
        method = stubs.LivenessServiceStub(channel.channel).GetLiveness
        try:
            reply: pb.GetLivenessResponse = await channel.call(
                method, pb.GetLivenessRequest(), timeout=LIVENESS_TIMEOUT
            )
        except ServiceError:
            return pb.GetLivenessResponse()
        return reply
