"""Tokens as lists show them."""

from typing import NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from protos.auth.v1 import tokens_pb2 as pb


class Token(TypedDict):
    """A live token of a workspace."""

    id: str
    prefix: str
    created_at: str
    last_used_at: str | None
    note: NotRequired[str]
    expires_at: NotRequired[str]


class OrgToken(TypedDict):
    """A live token of an organisation."""

    id: str
    prefix: str
    org_id: str
    scopes: list[str]
    created_at: str
    name: NotRequired[str]
    created_by: NotRequired[str]
    last_used_at: NotRequired[str]
    expires_at: NotRequired[str]


def token(message: pb.Token) -> Token:
    """One token of a workspace."""
    shown = Token(
        id=message.id,
        prefix=message.prefix,
        created_at=json_format.format_timestamp(message.created_at),
        last_used_at=json_format.format_timestamp(message.last_used_at) if message.HasField("last_used_at") else None,
    )
    if message.note:
        shown["note"] = message.note
    if message.HasField("expires_at"):
        shown["expires_at"] = json_format.format_timestamp(message.expires_at)
    return shown


def org_token(message: pb.OrgToken) -> OrgToken:
    """One token of an organisation."""
    shown = OrgToken(
        id=message.id,
        prefix=message.prefix,
        org_id=message.org_id,
        scopes=list(message.scopes),
        created_at=json_format.format_timestamp(message.created_at),
    )
    if message.name:
        shown["name"] = message.name
    if message.created_by:
        shown["created_by"] = message.created_by
    if message.HasField("last_used_at"):
        shown["last_used_at"] = json_format.format_timestamp(message.last_used_at)
    if message.HasField("expires_at"):
        shown["expires_at"] = json_format.format_timestamp(message.expires_at)
    return shown
