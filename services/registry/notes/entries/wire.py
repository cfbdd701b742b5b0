"""Converts entries between protobuf and the model."""

from protos.registry.v1 import entries_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.entries.rules import EntryDraft, KeyValueEntry
from services.registry.notes.json_text import decode_json_text


def draft_from_request(request: pb.PutEntryRequest) -> EntryDraft:
    return EntryDraft(
        key=request.key,
        value=decode_json_text(request.value),
        ttl_seconds=request.ttl_seconds if request.HasField("ttl_seconds") else None,
        if_match_version=request.if_match_version if request.HasField("if_match_version") else None,
    )


def entry_to_proto(entry: KeyValueEntry) -> pb.Entry:
    return pb.Entry(
        key=entry.key,
        value=entry.value.encode(),
        version=entry.version,
        updated_at=timestamp_from_datetime(entry.updated_at),
        expires_at=timestamp_from_datetime(entry.expires_at) if entry.expires_at else None,
    )
