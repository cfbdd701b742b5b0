"""Converts the provisioner's model to protobuf."""

from protos.provisioner.v1 import provisioner_pb2 as pb
from services.provisioner.model import Condition


def condition_to_proto(condition: Condition) -> pb.InstanceCondition.ValueType:
    """Return the protobuf value of a condition."""
    return _CONDITIONS[condition]


_CONDITIONS = {
    Condition.ALIVE: pb.INSTANCE_CONDITION_ALIVE,
    Condition.GONE: pb.INSTANCE_CONDITION_GONE,
    Condition.UNKNOWN: pb.INSTANCE_CONDITION_UNKNOWN,
}
