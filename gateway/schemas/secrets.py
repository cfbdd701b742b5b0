"""Secrets of workspaces, and global secrets."""

from typing import Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime, SecretScopeName
from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.auth.v1 import vault_pb2


class NewSecret(RequestModel, title="Secret"):
    """Body of a route that sets a secret."""

    key: NonEmptyText
    value: str = Field(min_length=1, repr=False)


class SecretChangeResult(TypedDict):
    """What became of a secret of a workspace."""

    key: str
    status: Literal["saved", "deleted"]


class GlobalSecretChangeResult(TypedDict):
    """What became of a global secret."""

    key: str
    scope: Literal["global"]
    status: Literal["saved", "deleted"]


class ResealResult(TypedDict):
    """How many secrets were encrypted again, and how many remain."""

    resealed: int
    remaining: int
    key_version: str


class SecretLabel(TypedDict):
    """A secret in a list: everything but its value. A reserved one is not given to agents."""

    key: str
    has_value: bool
    scope: SecretScopeName
    created_at: DateTime
    updated_at: DateTime
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
