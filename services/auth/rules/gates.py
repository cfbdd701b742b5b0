"""Decides which bearer passes which gate, and the public text of each refusal.

The table is section 4 of docs/spec/rest.md, with 6.2 for the two body gates and 6.4 for messages.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from services.auth.errors import (
    InvalidBearer,
    MissingBearer,
    OrgAccessDenied,
    PlatformAdminRequired,
    ScopeMissing,
    WorkspaceBarred,
    WorkspaceUnknown,
)
from services.auth.model.authorization import (
    AccessMode,
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Bearer,
    CredentialState,
    Gate,
    Grant,
    OrgBearer,
    UnknownBearer,
    WorkspaceBearer,
)
from services.auth.rules import scopes


class _WorkspaceTokenRule(Enum):
    """Which workspace tokens a gate admits."""

    SAME_WORKSPACE = "the token of the workspace that the request is about"
    CLAIMED_WORKSPACE = "any token, unless the caller claims to be another workspace"
    ANY = "any token"
    AS_ANONYMOUS = "any token, as an anonymous caller, if the gate admits anonymous callers"


class _OrgTokenRule(Enum):
    """Which organisation tokens a gate admits."""

    WITHIN_ORG = "tokens with the required scope, for workspaces of their organisation"
    ADMIN_ONLY = "none: the gate is for ADMIN_TOKEN only, and says so"
    INVALID = "none: the token is refused like an unknown one"
    AS_ANONYMOUS = "any token, as an anonymous caller, if the gate admits anonymous callers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _GateRule:
    """What one gate admits, and the texts of its refusals."""

    missing_text: str
    invalid_text: str
    workspace_tokens: _WorkspaceTokenRule
    org_tokens: _OrgTokenRule = _OrgTokenRule.WITHIN_ORG
    admits_admin: bool = True
    admits_anonymous: bool = True
    """In open development only."""
    checks_workspace_first: bool = False
    """A body gate: the state of the workspace in the body is checked before the bearer."""


_MISSING = "missing workspace auth token"
_INVALID = "invalid workspace auth token"

_ADMIN = _GateRule(
    missing_text="admin auth required",
    invalid_text="invalid admin auth token",
    workspace_tokens=_WorkspaceTokenRule.AS_ANONYMOUS,
)

_OWN = _GateRule(
    missing_text=_MISSING,
    invalid_text=_INVALID,
    workspace_tokens=_WorkspaceTokenRule.SAME_WORKSPACE,
    org_tokens=_OrgTokenRule.INVALID,
    admits_admin=False,
    admits_anonymous=False,
)

_RULES = {
    Gate.ADMIN: _ADMIN,
    Gate.PLATFORM: replace(_ADMIN, org_tokens=_OrgTokenRule.ADMIN_ONLY),
    Gate.TEST: replace(_ADMIN, org_tokens=_OrgTokenRule.AS_ANONYMOUS, invalid_text=_ADMIN.missing_text),
    Gate.WORKSPACE: _GateRule(
        missing_text=_MISSING, invalid_text=_INVALID, workspace_tokens=_WorkspaceTokenRule.SAME_WORKSPACE
    ),
    Gate.OWN: _OWN,
    Gate.ANY: _GateRule(
        missing_text="authentication required",
        invalid_text="invalid auth token",
        workspace_tokens=_WorkspaceTokenRule.ANY,
    ),
    Gate.DISCOVERY: _GateRule(
        missing_text=_MISSING, invalid_text=_INVALID, workspace_tokens=_WorkspaceTokenRule.CLAIMED_WORKSPACE
    ),
    Gate.REGISTER: replace(_OWN, admits_anonymous=True, checks_workspace_first=True),
    Gate.BODY: replace(_OWN, checks_workspace_first=True),
    Gate.A2A: _GateRule(
        missing_text="missing caller auth token",
        invalid_text="invalid caller auth token",
        workspace_tokens=_WorkspaceTokenRule.CLAIMED_WORKSPACE,
    ),
}


def needs_credential_state(gate: Gate, bearer: Bearer, mode: AccessMode) -> bool:
    """Whether `check_gate` needs the credential state of the workspace.

    It does not if a required bearer is missing, which saves a query for requests that are refused anyway.
    """
    rule = _RULES[gate]
    return rule.checks_workspace_first and not _lacks_bearer(rule, bearer, mode)


def needs_org(request: AuthorizationRequest, bearer: Bearer) -> bool:
    """Whether `check_gate` needs the organisation of the workspace."""
    within_org = _RULES[request.gate].org_tokens is _OrgTokenRule.WITHIN_ORG
    return within_org and isinstance(bearer, OrgBearer) and request.workspace_id is not None


def check_gate(
    request: AuthorizationRequest,
    bearer: Bearer,
    mode: AccessMode,
    *,
    credential_state: CredentialState | None = None,
    org_id: str | None = None,
) -> Grant:
    """Return the identity under which the gate admits the bearer; raises the refusal of the gate otherwise.

    `credential_state` is given if `needs_credential_state`. `org_id`, the organisation of the workspace, is given if
    `needs_org`; it is `None` for an unknown workspace.
    """
    rule = _RULES[request.gate]
    if _lacks_bearer(rule, bearer, mode):
        raise MissingBearer(rule.missing_text)
    if rule.checks_workspace_first:
        _require_active(credential_state)
        if credential_state is CredentialState.HAS_LIVE_TOKEN and isinstance(bearer, Anonymous):
            raise MissingBearer(rule.missing_text)
    grant = _find_grant(rule, request, bearer, mode, org_id)
    if grant is None:
        raise InvalidBearer(rule.invalid_text)
    return grant


def _lacks_bearer(rule: _GateRule, bearer: Bearer, mode: AccessMode) -> bool:
    return isinstance(bearer, Anonymous) and not (rule.admits_anonymous and mode is AccessMode.OPEN)


def _require_active(state: CredentialState | None) -> None:
    match state:
        case CredentialState.NO_LIVE_TOKEN | CredentialState.HAS_LIVE_TOKEN:
            return
        case CredentialState.BARRED:
            raise WorkspaceBarred
        case CredentialState.UNKNOWN | None:
            raise WorkspaceUnknown
        case _:
            assert_never(state)


def _find_grant(
    rule: _GateRule, request: AuthorizationRequest, bearer: Bearer, mode: AccessMode, org_id: str | None
) -> Grant | None:
    """Return `None` if the gate does not admit the bearer."""
    match bearer:
        case Anonymous():
            return bearer
        case AdminBearer():
            return bearer if rule.admits_admin else None
        case WorkspaceBearer():
            return _admit_workspace_token(rule.workspace_tokens, bearer, request, mode)
        case OrgBearer():
            return _admit_org_token(rule, bearer, request, mode, org_id)
        case UnknownBearer():
            return None
        case _:
            assert_never(bearer)


def _admit_workspace_token(
    rule: _WorkspaceTokenRule, bearer: WorkspaceBearer, request: AuthorizationRequest, mode: AccessMode
) -> Grant | None:
    match rule:
        case _WorkspaceTokenRule.ANY:
            return bearer
        case _WorkspaceTokenRule.SAME_WORKSPACE:
            return bearer if request.workspace_id == bearer.workspace_id else None
        case _WorkspaceTokenRule.CLAIMED_WORKSPACE:
            return bearer if request.claimed_workspace_id in {None, bearer.workspace_id} else None
        case _WorkspaceTokenRule.AS_ANONYMOUS:
            return Anonymous() if mode is AccessMode.OPEN else None
        case _:
            assert_never(rule)


def _admit_org_token(
    rule: _GateRule, bearer: OrgBearer, request: AuthorizationRequest, mode: AccessMode, org_id: str | None
) -> Grant | None:
    match rule.org_tokens:
        case _OrgTokenRule.WITHIN_ORG:
            _require_scope(bearer, request)
            if _is_about_workspace(rule, request) and (request.workspace_id is None or org_id != bearer.org_id):
                raise OrgAccessDenied
            return bearer
        case _OrgTokenRule.ADMIN_ONLY:
            raise PlatformAdminRequired
        case _OrgTokenRule.INVALID:
            return None
        case _OrgTokenRule.AS_ANONYMOUS:
            return Anonymous() if mode is AccessMode.OPEN else None
        case _:
            assert_never(rule.org_tokens)


def _require_scope(bearer: OrgBearer, request: AuthorizationRequest) -> None:
    required = scopes.find_required_scope(request.gate, request.scope)
    if required not in scopes.expand_scopes(bearer.scopes):
        raise ScopeMissing(details={"required_scope": required.value})


def _is_about_workspace(rule: _GateRule, request: AuthorizationRequest) -> bool:
    """Whether the request is about a workspace: it names one, or the gate admits only the token of one workspace."""
    return request.workspace_id is not None or rule.workspace_tokens is _WorkspaceTokenRule.SAME_WORKSPACE
