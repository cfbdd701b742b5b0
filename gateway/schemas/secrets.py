"""Secrets of workspaces, and global secrets."""

from typing import NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.auth.v1 import vault_pb2


class NewSecret(RequestModel, title="Secret"):
    """Body of a route that sets a secret."""

    key: NonEmptyText
    value: str = Field(min_length=1, repr=False)


@with_config(title="Done")
class SecretChangeResult(TypedDict):
    """What became of a secret of a workspace."""

    key: str
    status: str


@with_config(title="DoneForAll")
class GlobalSecretChangeResult(TypedDict):
    """What became of a global secret."""

    key: str
    scope: str
    status: str


@with_config(title="Resealed")
class ResealResult(TypedDict):
    """What was sealed anew, and what is left."""

    resealed: int
    remaining: int
    key_version: str


@with_config(title="Label")
class SecretLabel(TypedDict):
    """A secret in a list: everything but its value. A reserved one is not given to agents."""

    key: str
    has_value: bool
    scope: str
    created_at: str
    updated_at: str
    reserved: NotRequired[bool]


def render_label(message: vault_pb2.Secret) -> SecretLabel:
    """Return a secret without its value."""
    label = SecretLabel(
        key=message.key,
        has_value=True,
        scope="global" if message.is_global else "workspace",
        created_at=json_format.format_timestamp(message.created_at),
        updated_at=json_format.format_timestamp(message.updated_at),
    )
    if message.is_reserved:
        label["reserved"] = True
    return label
