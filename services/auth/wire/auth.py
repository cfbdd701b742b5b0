"""Converts the messages of `AuthService`."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from protos.auth.v1 import auth_pb2 as pb
from services.auth.model.authorization import (
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Gate,
    Grant,
    OrgBearer,
    WorkspaceBearer,
)
from services.auth.model.feeds import Keepalive
from services.auth.model.placements import InboundSecret, OrgMembership, WorkspaceId
from services.auth.model.revocations import (
    Revocation,
    RevocationTarget,
    RevocationUpdate,
    RevokedAll,
    RevokedToken,
    RevokedWorkspace,
)
from services.auth.model.tokens import Credentials, IssuedToken, RegistrationAuth, Scope, TokenId
from services.auth.rules import scopes
from services.auth.wire.fields import malformed, optional_timestamp_to, uuid_from, workspace_id_from
from services.chassis import identity
from services.chassis.feeds import FEED_SILENCE_LIMIT
from services.chassis.identity import Identity, Kind
from services.chassis.timestamps import duration_from_timedelta, timedelta_from_duration

MAX_WORKSPACES_PER_REQUEST = 1_000

MIN_UNUSED_FOR = timedelta(minutes=1)
"""Twice the time between two heartbeats, so that no token of a running agent is revoked as stale."""


def bearer_from(request: pb.AuthorizeRequest) -> str | None:
    """Return the bearer if the request has one."""
    return request.bearer if request.HasField("bearer") else None


def session_from(request: pb.AuthorizeRequest) -> str | None:
    """Return the browser session if the request has one."""
    return request.session if request.HasField("session") else None


def authorization_request_from(request: pb.AuthorizeRequest) -> AuthorizationRequest:
    """Return the gate and the workspaces. The claimed workspace is only compared, so it may be any text."""
    gate = _GATES.get(request.gate)
    if gate is None:
        raise malformed("gate")
    claimed_workspace_id = request.claimed_workspace_id
    return AuthorizationRequest(
        gate=gate,
        scope=_scope_from(request.scope) if request.scope else None,
        workspace_id=workspace_id_from(request.workspace_id) if request.workspace_id else None,
        claimed_workspace_id=WorkspaceId(claimed_workspace_id.lower()) if claimed_workspace_id else None,
    )


def memberships_from(placements: Iterable[pb.Placement]) -> list[OrgMembership]:
    """Return the placements; if a workspace occurs twice, the last one counts."""
    memberships = {
        placement.workspace_id: OrgMembership(
            workspace_id_from(placement.workspace_id), uuid_from(placement.org_id, "org_id")
        )
        for placement in placements
    }
    if len(memberships) > MAX_WORKSPACES_PER_REQUEST:
        raise malformed("placements")
    return list(memberships.values())


def workspace_ids_from(texts: Sequence[str]) -> list[WorkspaceId]:
    """Return the ids of workspaces."""
    if len(texts) > MAX_WORKSPACES_PER_REQUEST:
        raise malformed("workspace_ids")
    return [WorkspaceId(uuid_from(text, "workspace_ids")) for text in texts]


def unused_for_from(request: pb.RevokeStaleTokensRequest) -> timedelta:
    """Return how long a stale token was not used, at least `MIN_UNUSED_FOR`."""
    unused_for = timedelta_from_duration(request.unused_for)
    if unused_for < MIN_UNUSED_FOR:
        raise malformed("unused_for")
    return unused_for


def generation_from(request: pb.IssueTokenRequest) -> int | None:
    """Return the generation if the token is for an instance."""
    if not request.HasField("generation"):
        return None
    if request.generation < 1:
        raise malformed("generation")
    return request.generation


def org_token_id_from(request: pb.IssueTokenRequest) -> TokenId | None:
    """Return the organisation token on whose behalf a token is issued; `None` for none."""
    return TokenId(uuid_from(request.org_token_id, "org_token_id")) if request.org_token_id else None


def token_id_from(request: pb.RevokeTokensRequest) -> TokenId | None:
    """Return the token to revoke; `None` means all."""
    return TokenId(uuid_from(request.token_id, "token_id")) if request.token_id else None


def registration_auth_from(request: pb.EnsureCredentialsRequest) -> RegistrationAuth:
    """Return how the workspace authenticated."""
    return RegistrationAuth.ANONYMOUS if request.anonymous else RegistrationAuth.AUTHENTICATED


def grant_to(grant: Grant) -> pb.AuthorizeResponse:
    """Convert a grant to an identity and its expiry."""
    return pb.AuthorizeResponse(
        identity=identity.to_wire(_identity_of(grant)), expires_at=optional_timestamp_to(_expiry_of(grant))
    )


def issued_to(issued: IssuedToken) -> pb.IssueTokenResponse:
    """Convert an issued token, with its text."""
    return pb.IssueTokenResponse(auth_token=issued.text, token_id=issued.token_id)


def credentials_to(credentials: Credentials) -> pb.EnsureCredentialsResponse:
    """Convert the credentials that a workspace lacked."""
    return pb.EnsureCredentialsResponse(
        auth_token=credentials.token.text if credentials.token else None,
        token_id=credentials.token.token_id if credentials.token else "",
        inbound_secret=credentials.inbound_secret,
        agent_credential_keys=credentials.agent_credential_keys,
    )


def inbound_secret_to(secret: InboundSecret) -> pb.ReadOrHealInboundSecretResponse:
    """Convert an inbound secret."""
    return pb.ReadOrHealInboundSecretResponse(inbound_secret=secret.text, healed=secret.healed)


def update_to(update: RevocationUpdate) -> pb.WatchRevocationsResponse:
    """Convert one message of the revocation feed."""
    match update:
        case Revocation():
            response = pb.WatchRevocationsResponse(revision=update.revision)
            _set_target(response, update.target)
        case RevokedAll():
            response = pb.WatchRevocationsResponse(revision=update.revision, all_revoked=pb.AllRevoked())
        case Keepalive():
            silence_limit = duration_from_timedelta(FEED_SILENCE_LIMIT)
            response = pb.WatchRevocationsResponse(revision=update.position, keepalive=silence_limit)
        case _:
            assert_never(update)
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


def _scope_from(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise malformed("scope") from None


def _identity_of(grant: Grant) -> Identity:
    match grant:
        case AdminBearer():
            return Identity(kind=Kind.ADMIN)
        case Anonymous():
            return Identity(kind=Kind.ANONYMOUS)
        case WorkspaceBearer():
            return Identity(
                kind=Kind.WORKSPACE, name=grant.workspace_id, generation=grant.generation, token_id=grant.token_id
            )
        case OrgBearer():
            granted_scopes = frozenset(scopes.expand_scopes(grant.scopes))
            return Identity(kind=Kind.ORG, name=grant.token_id, org_id=grant.org_id, scopes=granted_scopes)
        case _:
            assert_never(grant)


def _expiry_of(grant: Grant) -> datetime | None:
    return None if isinstance(grant, Anonymous) else grant.expires_at


def _set_target(response: pb.WatchRevocationsResponse, target: RevocationTarget) -> None:
    match target:
        case RevokedWorkspace(workspace_id):
            response.workspace_id = workspace_id
        case RevokedToken(digest):
            response.token_digest = digest
        case _:
            assert_never(target)
