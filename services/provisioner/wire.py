"""Converts the provisioner's model to protobuf."""

from protos.provisioner.v1 import files_pb2
from protos.provisioner.v1 import provisioner_pb2 as pb
from services.provisioner.model import Condition, FileEntry


def condition_to_proto(condition: Condition) -> pb.InstanceCondition.ValueType:
    """Return the protobuf value of a condition."""
    return _CONDITIONS[condition]


def file_entry_to_proto(entry: FileEntry) -> files_pb2.FileEntry:
    """Return the protobuf message of a file or directory."""
    return files_pb2.FileEntry(path=entry.path, size=entry.size, is_directory=entry.is_directory)


_CONDITIONS = {
    Condition.ALIVE: pb.INSTANCE_CONDITION_ALIVE,
    Condition.GONE: pb.INSTANCE_CONDITION_GONE,
    Condition.UNKNOWN: pb.INSTANCE_CONDITION_UNKNOWN,
}
