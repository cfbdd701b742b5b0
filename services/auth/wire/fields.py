"""Validates and converts fields that several contracts share."""

import re
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.auth.model.placements import WorkspaceId
from services.chassis.errors import InvalidArgument
from services.chassis.timestamps import timestamp_from_datetime

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def uuid_from(text: str, field: str) -> str:
    """Return a UUID in lower case; raises `InvalidArgument` with the name of the field."""
    if not _UUID.fullmatch(text):
        raise malformed(field)
    return text


def workspace_id_from(text: str) -> WorkspaceId:
    """Return the id of a workspace."""
    return WorkspaceId(uuid_from(text, "workspace_id"))


def optional_timestamp_to(moment: datetime | None) -> Timestamp | None:
    """Convert a time that may be absent."""
    return None if moment is None else timestamp_from_datetime(moment)


def malformed(field: str) -> InvalidArgument:
    """Build the error for a malformed field."""
    return InvalidArgument(f"malformed field: {field}", details={"field": field})
