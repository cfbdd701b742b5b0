"""The provisioner's model as its contract writes it."""

from protos.provisioner.v1 import provisioner_pb2 as pb
from services.provisioner.model import Condition


def condition_to(condition: Condition) -> pb.InstanceCondition.ValueType:
    return _CONDITIONS[condition]


_CONDITIONS = {
    Condition.ALIVE: pb.INSTANCE_CONDITION_ALIVE,
    Condition.GONE: pb.INSTANCE_CONDITION_GONE,
    Condition.UNKNOWN: pb.INSTANCE_CONDITION_UNKNOWN,
}
