"""When the loops of this replica last ticked."""

from datetime import UTC, datetime
from time import monotonic

from protos.common.v1 import liveness_pb2 as pb
from protos.common.v1 import liveness_pb2_grpc as stubs

CONTRACT = pb.DESCRIPTOR.services_by_name["LivenessService"]
"""What every service offers beside its own contract."""


class Liveness(stubs.LivenessServiceServicer):
    """Hears of every tick, and tells of the last of each loop."""

    def __init__(self, names: set[str]) -> None:
        self._loops = {name: pb.TickingLoop(name=name) for name in names}

    def tick(self, name: str) -> None:
        """A tick has ended."""
        self._loops[name] = pb.TickingLoop(name=name, last_tick_at=datetime.now(UTC), ticked=monotonic())  # type: ignore[arg-type]

    def rest(self, name: str) -> None:
        """The loop ticks here no longer; it may elsewhere."""
        self._loops[name] = pb.TickingLoop(name=name)

    async def GetLiveness(self, _: pb.GetLivenessRequest, __: object) -> pb.GetLivenessResponse:  # noqa: N802 - gRPC names it
        """Each loop that ticks, and what time it is."""
        return pb.GetLivenessResponse(loops=self._loops.values(), now=monotonic())
