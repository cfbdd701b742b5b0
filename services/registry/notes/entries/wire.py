"""Entries: protobuf and model."""

from protos.registry.v1 import entries_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.entries.rules import Draft, Entry


def draft_from(request: pb.PutEntryRequest) -> Draft:
    """A value to be written."""
    return Draft(
        key=request.key,
        value=request.value.decode(),
        ttl_seconds=request.ttl_seconds if request.HasField("ttl_seconds") else None,
        if_match_version=request.if_match_version if request.HasField("if_match_version") else None,
    )


def entry_to(entry: Entry) -> pb.Entry:
    """An entry as the contract writes it."""
    return pb.Entry(
        key=entry.key,
        value=entry.value.encode(),
        version=entry.version,
        updated_at=timestamp_from_datetime(entry.updated_at),
        expires_at=timestamp_from_datetime(entry.expires_at) if entry.expires_at else None,
    )
