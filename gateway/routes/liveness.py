"""When the loops of the services last ticked."""

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
"""How long a replica has to say when its loops ticked."""


class LivenessRoutes:
    """Asks every replica that it has a line to."""

    def __init__(self, clients: ServiceChannels) -> None:
        self._replicas = (*clients.each_registry, *clients.each_a2a_proxy, clients.auth, clients.provisioner)

    def list_routes(self) -> list[Route]:
        """What is there."""
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
        """The loops of whoever answers; `/ready` says who does not."""
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(self._told(line)) for line in self._replicas]
        return LivenessReport(subsystems=render_subsystems([answer.result() for answer in answers]))

    async def _told(self, line: ServiceChannel) -> pb.GetLivenessResponse:
        asked = stubs.LivenessServiceStub(line.channel).GetLiveness
        try:
            told: pb.GetLivenessResponse = await line.call(asked, pb.GetLivenessRequest(), timeout=LIVENESS_TIMEOUT)
        except ServiceError:
            return pb.GetLivenessResponse()
        return told
