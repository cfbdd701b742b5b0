"""Reports whether this replica can do its work, and when each of its periodic loops last ran."""

from datetime import UTC, datetime
from time import monotonic

from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs
from services.chassis.health import HealthMonitor

CONTRACT = pb.DESCRIPTOR.services_by_name["LivenessService"]
"""The contract that every service serves besides its own."""


class Liveness(stubs.LivenessServiceServicer):
    """Records the ticks of the loops, and serves the time of the last one of each."""

    def __init__(self, names: set[str], monitor: HealthMonitor) -> None:
        self._monitor = monitor
        self._loops = {name: pb.TickingLoop(name=name) for name in names}

    def tick(self, name: str) -> None:
        """Record the end of a tick."""
        self._loops[name] = pb.TickingLoop(name=name, last_tick_at=datetime.now(UTC), ticked=monotonic())  # type: ignore[arg-type]

    def clear(self, name: str) -> None:
        """Forget the last tick of a loop that stopped in this replica; another replica may run it."""
        self._loops[name] = pb.TickingLoop(name=name)

    async def GetHealth(self, _: pb.GetHealthRequest, __: object) -> pb.GetHealthResponse:  # noqa: N802 - gRPC names it
        """Return why this replica cannot do its work."""
        return pb.GetHealthResponse(causes=await self._monitor.find_causes())

    async def GetLiveness(self, _: pb.GetLivenessRequest, __: object) -> pb.GetLivenessResponse:  # noqa: N802 - gRPC names it
        """Return the last tick of each loop, and the present time."""
        return pb.GetLivenessResponse(loops=self._loops.values(), now=monotonic())
