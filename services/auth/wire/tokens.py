"""Tokens as people look after them: protobuf and back. What comes in malformed goes no further."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import tokens_pb2 as pb
from services.auth import scopes
from services.auth.errors import InvalidToken
from services.auth.model import Scope, TokenId
from services.auth.records import (
    MintedOrgToken,
    MintedToken,
    NewSession,
    OrgTokenRecord,
    OrgTokenRequest,
    WorkspaceTokenRecord,
)
from services.auth.wire.keys import malformed, uuid
from services.chassis import pages

LONGEST_NOTE = 200
"""Bytes of a note."""

LONGEST_NAME = 100
"""Bytes of a name."""

MOST_SCOPES = 16
"""Scopes in one request: more than there are."""

LONGEST_GRACE = timedelta(days=1)
"""How long a rotated token may stay in force."""

FARTHEST = 2**31
"""Rows that a page passes over at most."""

R = TypeVar("R", WorkspaceTokenRecord, OrgTokenRecord)


def token_from(text: str) -> TokenId:
    """The id of a token."""
    return TokenId(uuid(text, "token_id"))


def note_from(request: pb.MintTokenRequest) -> str:
    """What the token is for."""
    return _checked(request.note, "note", LONGEST_NOTE, unit="bytes")


def wanted_from(request: pb.MintOrgTokenRequest) -> OrgTokenRequest:
    """The organisation token that is asked for."""
    return OrgTokenRequest(
        org_id=org_from(request.org_id),
        name=_checked(request.name, "name", LONGEST_NAME, unit="chars"),
        scopes=_scopes_from(request.scopes),
        expires_at=expiry_from(request),
    )


def org_from(text: str) -> str:
    """The organisation, if one is named."""
    return uuid(text, "org_id") if text else ""


def expiry_from(request: pb.MintTokenRequest | pb.MintOrgTokenRequest) -> datetime | None:
    """When the token is to end, if it is."""
    if not request.HasField("expires_at"):
        return None
    try:
        return request.expires_at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise malformed("expires_at") from None


def grace_from(grace: Duration) -> timedelta:
    """How long a rotated token stays in force."""
    span = timedelta(seconds=grace.seconds)
    if not timedelta() <= span <= LONGEST_GRACE or grace.nanos:
        raise malformed("grace")
    return span


def place_from(page_token: str, offset: int) -> int:
    """How many rows the page passes over."""
    if page_token:
        [text] = pages.decode_page_token(page_token, 1)
        if not (text.isascii() and text.isdecimal()) or len(text) > len(str(FARTHEST)):
            raise pages.InvalidPageToken
        offset = int(text)
    if not 0 <= offset <= FARTHEST:
        raise malformed("offset")
    return offset


def page_of(records: Sequence[R], *, size: int, offset: int) -> tuple[Sequence[R], str]:
    """A page of the records, of which one more than fits was asked for, and the token of the next."""
    return records[:size], pages.encode_page_token([str(offset + size)]) if len(records) > size else ""


def token_to(record: WorkspaceTokenRecord) -> pb.Token:
    """A token as lists show it."""
    return pb.Token(
        id=record.token_id,
        prefix=record.prefix,
        note=record.note,
        created_at=moment_to(record.created_at),
        last_used_at=moment_to(record.last_used_at),
        expires_at=moment_to(record.expires_at),
    )


def org_token_to(record: OrgTokenRecord) -> pb.OrgToken:
    """A token of an organisation as lists show it."""
    return pb.OrgToken(
        id=record.token_id,
        prefix=record.prefix,
        org_id=record.org_id,
        scopes=[scope.value for scope in Scope if scope in record.scopes],
        name=record.name,
        created_by=record.created_by,
        created_at=moment_to(record.created_at),
        last_used_at=moment_to(record.last_used_at),
        expires_at=moment_to(record.expires_at),
    )


def minted_to(handed: MintedToken) -> pb.MintTokenResponse:
    """The token, told once."""
    return pb.MintTokenResponse(auth_token=handed.text, token=token_to(handed.record))


def rotated_to(handed: MintedToken) -> pb.RotateTokenResponse:
    """The same, and when the one before it ends."""
    return pb.RotateTokenResponse(
        auth_token=handed.text,
        token=token_to(handed.record),
        previous_expires_at=moment_to(handed.previous_expires_at),
    )


def test_token_to(handed: MintedToken) -> pb.MintTestTokenResponse:
    """A test token, told once."""
    return pb.MintTestTokenResponse(auth_token=handed.text, expires_at=moment_to(handed.record.expires_at))


def org_minted_to(handed: MintedOrgToken) -> pb.MintOrgTokenResponse:
    """The token, told once."""
    return pb.MintOrgTokenResponse(auth_token=handed.text, token=org_token_to(handed.record))


def org_rotated_to(handed: MintedOrgToken) -> pb.RotateOrgTokenResponse:
    """The same, and when the one before it ends."""
    return pb.RotateOrgTokenResponse(
        auth_token=handed.text,
        token=org_token_to(handed.record),
        previous_expires_at=moment_to(handed.previous_expires_at),
    )


def seated_to(seated: NewSession) -> pb.OpenSessionResponse:
    """The session, told once."""
    return pb.OpenSessionResponse(session=seated.text, expires_at=moment_to(seated.expires_at))


def moment_to(moment: datetime | None) -> Timestamp | None:
    """A moment, if there is one."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _scopes_from(texts: Collection[str]) -> frozenset[Scope]:
    if len(texts) > MOST_SCOPES:
        raise malformed("scopes")
    unknown = next((text for text in texts if text not in set(Scope)), None)
    if unknown is not None:
        raise InvalidToken(f"unknown scope: {unknown[:LONGEST_NAME]}")
    return frozenset(Scope(text) for text in texts) or scopes.DEFAULT_SCOPES


def _checked(text: str, name: str, longest: int, *, unit: str) -> str:
    """Text that people read in terminals and pages: nothing in it moves a cursor."""
    if len(text.encode()) > longest:
        raise InvalidToken(f"{name} too long (max {longest} {unit})")
    if not text.isprintable():
        raise InvalidToken(f"{name} contains invalid characters")
    return text
