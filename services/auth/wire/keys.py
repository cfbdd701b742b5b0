"""Protobuf and back. What comes in malformed goes no further."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import assert_never

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2 as pb
from services.auth import scopes
from services.auth.model import (
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Credentials,
    Gate,
    Grant,
    InboundSecret,
    IssuedToken,
    Keepalive,
    OrgBearer,
    OrgMembership,
    RegistrationAuth,
    Revocation,
    RevocationTarget,
    RevocationUpdate,
    RevokedAll,
    RevokedToken,
    RevokedWorkspace,
    Scope,
    TokenId,
    WorkspaceBearer,
    WorkspaceId,
)
from services.chassis import identity
from services.chassis.errors import InvalidArgument
from services.chassis.identity import Identity, Kind

AT_MOST = 1_000
"""Placements in one request."""

LEAST_IDLENESS = timedelta(minutes=1)
"""Twice as long as an agent takes between two heartbeats."""

SILENCE = 8
"""Seconds without a message after which a watcher no longer believes what it remembers."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def bearer_from(request: pb.AuthorizeRequest) -> str | None:
    """The bearer, if the request had one."""
    return request.bearer if request.HasField("bearer") else None


def session_from(request: pb.AuthorizeRequest) -> str | None:
    """The browser session, if the request came with one."""
    return request.session if request.HasField("session") else None


def knock_from(request: pb.AuthorizeRequest) -> AuthorizationRequest:
    """Which gate, about whom. The claim is compared and never looked up, so it may be any text."""
    gate = _GATES.get(request.gate)
    if gate is None:
        raise malformed("gate")
    return AuthorizationRequest(
        gate=gate,
        scope=scope_from(request.scope) if request.scope else None,
        workspace_id=workspace_from(request.workspace_id) if request.workspace_id else None,
        claimed_workspace_id=WorkspaceId(request.claimed_workspace_id.lower())
        if request.claimed_workspace_id
        else None,
    )


def scope_from(text: str) -> Scope:
    """A scope."""
    try:
        return Scope(text)
    except ValueError:
        raise malformed("scope") from None


def workspace_from(text: str) -> WorkspaceId:
    """The id of a workspace."""
    return WorkspaceId(uuid(text, "workspace_id"))


def homes_from(placements: Iterable[pb.Placement]) -> list[OrgMembership]:
    """The placements, the last one for each workspace."""
    homes = {
        placement.workspace_id: OrgMembership(workspace_from(placement.workspace_id), uuid(placement.org_id, "org_id"))
        for placement in placements
    }
    if len(homes) > AT_MOST:
        raise malformed("placements")
    return list(homes.values())


def workspaces_from(texts: Sequence[str]) -> list[WorkspaceId]:
    """The ids of workspaces."""
    if len(texts) > AT_MOST:
        raise malformed("workspace_ids")
    return [WorkspaceId(uuid(text, "workspace_ids")) for text in texts]


def idleness_from(request: pb.RevokeStaleTokensRequest) -> timedelta:
    """How long a token must not have been used; less than a minute would take it from an agent at work."""
    unused_for = request.unused_for.ToTimedelta()
    if unused_for < LEAST_IDLENESS:
        raise malformed("unused_for")
    return unused_for


def generation_from(request: pb.IssueTokenRequest) -> int | None:
    """The generation that the token is for, if any."""
    if not request.HasField("generation"):
        return None
    if request.generation < 1:
        raise malformed("generation")
    return request.generation


def token_from(request: pb.RevokeTokensRequest) -> TokenId | None:
    """The one token that is meant, unless all are."""
    return TokenId(uuid(request.token_id, "token_id")) if request.token_id else None


def arrival_from(request: pb.EnsureCredentialsRequest) -> RegistrationAuth:
    """How the workspace came."""
    return RegistrationAuth.ANONYMOUS if request.anonymous else RegistrationAuth.WITH_TOKEN


def passage_to(grant: Grant) -> pb.AuthorizeResponse:
    """The identity to act under, and for how long at most."""
    return pb.AuthorizeResponse(identity=identity.to_wire(_identity_of(grant)), expires_at=_end_of(grant))


def issued_to(issued: IssuedToken) -> pb.IssueTokenResponse:
    """The token, told once."""
    return pb.IssueTokenResponse(auth_token=issued.text, token_id=issued.token_id)


def credentials_to(credentials: Credentials) -> pb.EnsureCredentialsResponse:
    """What the workspace lacked."""
    return pb.EnsureCredentialsResponse(
        auth_token=credentials.token.text if credentials.token else None,
        token_id=credentials.token.token_id if credentials.token else "",
        inbound_secret=credentials.inbound_secret,
    )


def inbound_secret_to(secret: InboundSecret) -> pb.ReadOrHealInboundSecretResponse:
    """The secret, and whether it was made just now."""
    return pb.ReadOrHealInboundSecretResponse(inbound_secret=secret.text, healed=secret.healed)


def news_to(news: RevocationUpdate) -> pb.WatchRevocationsResponse:
    """One message of the feed."""
    response = pb.WatchRevocationsResponse(revision=news.revision)
    match news:
        case Revocation():
            _scope_to(news.scope, response)
        case RevokedAll():
            response.all_revoked.SetInParent()
        case Keepalive():
            response.keepalive.CopyFrom(Duration(seconds=SILENCE))
        case _:
            assert_never(news)
    return response


_GATES = {
    pb.GATE_ADMIN: Gate.ADMIN,
    pb.GATE_PLATFORM: Gate.PLATFORM,
    pb.GATE_WORKSPACE: Gate.WORKSPACE,
    pb.GATE_OWN: Gate.OWN,
    pb.GATE_ANY: Gate.ANY,
    pb.GATE_DISCOVERY: Gate.DISCOVERY,
    pb.GATE_REGISTER: Gate.REGISTER,
    pb.GATE_BODY: Gate.BODY,
    pb.GATE_A2A: Gate.A2A,
    pb.GATE_TEST: Gate.TEST,
}


def _identity_of(grant: Grant) -> Identity:
    match grant:
        case AdminBearer():
            return Identity(kind=Kind.ADMIN)
        case Anonymous():
            return Identity(kind=Kind.ANONYMOUS)
        case WorkspaceBearer():
            return Identity(kind=Kind.WORKSPACE, name=grant.workspace_id, generation=grant.generation)
        case OrgBearer():
            return Identity(
                kind=Kind.ORG,
                name=grant.token_id,
                org_id=grant.org_id,
                scopes=frozenset(scopes.expand_scopes(grant.scopes)),
            )
        case _:
            assert_never(grant)


def _end_of(grant: Grant) -> Timestamp | None:
    if isinstance(grant, Anonymous) or grant.expires_at is None:
        return None
    end = Timestamp()
    end.FromDatetime(grant.expires_at)
    return end


def _scope_to(scope: RevocationTarget, response: pb.WatchRevocationsResponse) -> None:
    match scope:
        case RevokedWorkspace(workspace_id):
            response.workspace_id = workspace_id
        case RevokedToken(digest):
            response.token_digest = digest
        case _:
            assert_never(scope)


def uuid(text: str, name: str) -> str:
    """An id of the plane; raises what is said of the field otherwise."""
    if not _UUID.fullmatch(text):
        raise malformed(name)
    return text


def malformed(name: str) -> InvalidArgument:
    """The refusal of a field that is not what it should be."""
    return InvalidArgument(f"malformed field: {name}", details={"field": name})
