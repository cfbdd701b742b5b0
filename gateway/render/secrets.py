"""What may be told of secrets."""

from typing_extensions import TypedDict

from gateway import json_format
from protos.auth.v1 import vault_pb2


class Label(TypedDict):
    """A secret in a list: everything but its value."""

    key: str
    has_value: bool
    scope: str
    created_at: str
    updated_at: str


def label(message: vault_pb2.Secret) -> Label:
    """A secret as lists show it."""
    return Label(
        key=message.key,
        has_value=True,
        scope="global" if message.is_global else "workspace",
        created_at=json_format.format_timestamp(message.created_at),
        updated_at=json_format.format_timestamp(message.updated_at),
    )
