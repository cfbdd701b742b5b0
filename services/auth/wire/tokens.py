"""Converts the messages of `TokenService`."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from protos.auth.v1 import tokens_pb2 as pb
from services.auth.errors import InvalidToken
from services.auth.model.tokens import (
    MintedOrgToken,
    MintedToken,
    NewSession,
    OrgTokenRecord,
    OrgTokenRequest,
    Scope,
    TokenId,
    WorkspaceTokenRecord,
)
from services.auth.rules import scopes
from services.auth.wire.fields import malformed, optional_timestamp_to, uuid_from
from services.chassis import pages
from services.chassis.timestamps import datetime_from_timestamp

MAX_NOTE_BYTES = 200

MAX_NAME_BYTES = 100

MAX_SCOPES_PER_REQUEST = 16
"""More than there are scopes, because a request may repeat one."""

MAX_GRACE = timedelta(days=1)
"""How long a rotated token may stay live."""

MAX_OFFSET = 2**31

R = TypeVar("R", WorkspaceTokenRecord, OrgTokenRecord)


def token_id_from(text: str) -> TokenId:
    """Return the id of a token."""
    return TokenId(uuid_from(text, "token_id"))


def note_from(request: pb.MintTokenRequest) -> str:
    """Return the note of a token."""
    return _check_text(request.note, "note", MAX_NOTE_BYTES, unit="bytes")


def org_token_request_from(request: pb.MintOrgTokenRequest) -> OrgTokenRequest:
    """Return the requested organisation token."""
    return OrgTokenRequest(
        org_id=org_id_from(request.org_id),
        name=_check_text(request.name, "name", MAX_NAME_BYTES, unit="chars"),
        scopes=_scopes_from(request.scopes),
        expires_at=expiry_from(request),
    )


def org_id_from(text: str) -> str:
    """Return the id of an organisation; empty if none is given."""
    return uuid_from(text, "org_id") if text else ""


def expiry_from(request: pb.MintTokenRequest | pb.MintOrgTokenRequest) -> datetime | None:
    """Return when the token will expire; `None` means never."""
    if not request.HasField("expires_at"):
        return None
    try:
        return datetime_from_timestamp(request.expires_at)
    except (ValueError, OverflowError):
        raise malformed("expires_at") from None


def grace_from(grace: Duration) -> timedelta:
    """Return how long a rotated token stays live: whole seconds, at most `MAX_GRACE`."""
    span = timedelta(seconds=grace.seconds)
    if not timedelta() <= span <= MAX_GRACE or grace.nanos:
        raise malformed("grace")
    return span


def offset_from(page_token: str, offset: int) -> int:
    """Return how many rows to skip: as the page token says, or without one as `offset` says."""
    if page_token:
        [text] = pages.decode_page_token(page_token, 1)
        if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_OFFSET)):
            raise pages.InvalidPageToken
        offset = int(text)
    if not 0 <= offset <= MAX_OFFSET:
        raise malformed("offset")
    return offset


def split_page(records: Sequence[R], *, size: int, offset: int) -> tuple[Sequence[R], str]:
    """Return the page and the token of the next one. `records` has one more than the page if there is a next page."""
    return records[:size], pages.encode_page_token([str(offset + size)]) if len(records) > size else ""


def token_to(record: WorkspaceTokenRecord) -> pb.Token:
    """Convert a workspace token, without its text."""
    return pb.Token(
        id=record.token_id,
        prefix=record.prefix,
        note=record.note,
        created_at=optional_timestamp_to(record.created_at),
        last_used_at=optional_timestamp_to(record.last_used_at),
        expires_at=optional_timestamp_to(record.expires_at),
    )


def org_token_to(record: OrgTokenRecord) -> pb.OrgToken:
    """Convert an organisation token, without its text."""
    return pb.OrgToken(
        id=record.token_id,
        prefix=record.prefix,
        org_id=record.org_id,
        scopes=[scope.value for scope in Scope if scope in record.scopes],
        name=record.name,
        created_by=record.created_by,
        created_at=optional_timestamp_to(record.created_at),
        last_used_at=optional_timestamp_to(record.last_used_at),
        expires_at=optional_timestamp_to(record.expires_at),
    )


def minted_to(minted: MintedToken) -> pb.MintTokenResponse:
    """Convert a new token, with its text."""
    return pb.MintTokenResponse(auth_token=minted.text, token=token_to(minted.record))


def rotated_to(minted: MintedToken) -> pb.RotateTokenResponse:
    """Convert a new token, with its text and the expiry of the token that it replaced."""
    return pb.RotateTokenResponse(
        auth_token=minted.text,
        token=token_to(minted.record),
        previous_expires_at=optional_timestamp_to(minted.previous_expires_at),
    )


def test_token_to(minted: MintedToken) -> pb.MintTestTokenResponse:
    """Convert a test token, with its text."""
    return pb.MintTestTokenResponse(auth_token=minted.text, expires_at=optional_timestamp_to(minted.record.expires_at))


def org_minted_to(minted: MintedOrgToken) -> pb.MintOrgTokenResponse:
    """Convert a new organisation token, with its text."""
    return pb.MintOrgTokenResponse(auth_token=minted.text, token=org_token_to(minted.record))


def org_rotated_to(minted: MintedOrgToken) -> pb.RotateOrgTokenResponse:
    """Convert a new organisation token, with its text and the expiry of the token that it replaced."""
    return pb.RotateOrgTokenResponse(
        auth_token=minted.text,
        token=org_token_to(minted.record),
        previous_expires_at=optional_timestamp_to(minted.previous_expires_at),
    )


def session_to(session: NewSession) -> pb.OpenSessionResponse:
    """Convert a new session, with its text."""
    return pb.OpenSessionResponse(session=session.text, expires_at=optional_timestamp_to(session.expires_at))


def _scopes_from(texts: Collection[str]) -> frozenset[Scope]:
    if len(texts) > MAX_SCOPES_PER_REQUEST:
        raise malformed("scopes")
    unknown = next((text for text in texts if text not in set(Scope)), None)
    if unknown is not None:
        raise InvalidToken(f"unknown scope: {unknown[:MAX_NAME_BYTES]}")
    return frozenset(Scope(text) for text in texts) or scopes.DEFAULT_SCOPES


def _check_text(text: str, field: str, max_bytes: int, *, unit: str) -> str:
    """Refuse text that is too long, or that contains control characters, which terminals would interpret."""
    if len(text.encode()) > max_bytes:
        raise InvalidToken(f"{field} too long (max {max_bytes} {unit})")
    if not text.isprintable():
        raise InvalidToken(f"{field} contains invalid characters")
    return text
