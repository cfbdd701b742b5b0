"""When the background loops of the services last ran."""

from collections.abc import Sequence

from typing_extensions import TypedDict

from gateway.json_format import format_timestamp
from gateway.schemas.names import DateTime
from protos.common.v1 import liveness_pb2 as pb


class Subsystem(TypedDict):
    """A loop; both are null where no replica that was asked has ticked it."""

    last_tick_at: DateTime | None
    seconds_ago: int | None


class LivenessReport(TypedDict):
    """Answer of /admin/liveness."""

    subsystems: dict[str, Subsystem]


def render_subsystems(replicas: Sequence[pb.GetLivenessResponse]) -> dict[str, Subsystem]:
    """Return the loops of all replicas by name; if several replicas have a loop, the latest tick counts."""
    newest: dict[str, float] = {}
    found: dict[str, Subsystem] = {}
    for replica in replicas:
        for loop in replica.loops:
            ticked = loop.HasField("last_tick_at")
            age = replica.now - loop.ticked if ticked else float("inf")
            if age <= newest.get(loop.name, float("inf")):
                newest[loop.name] = age
                found[loop.name] = (
                    _render_ticked(loop, age) if ticked else Subsystem(last_tick_at=None, seconds_ago=None)
                )
    return dict(sorted(found.items()))


def _render_ticked(loop: pb.TickingLoop, age: float) -> Subsystem:
    return Subsystem(last_tick_at=format_timestamp(loop.last_tick_at), seconds_ago=int(age))
