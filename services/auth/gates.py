"""Who passes which gate, and the exact words for those who do not.

The table is section 4 of the REST contract, with 6.2 for the two gates about a body and 6.4 for messages.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from services.auth import scopes
from services.auth.errors import (
    InvalidBearer,
    MissingBearer,
    OrgAccessDenied,
    PlatformAdminRequired,
    ScopeMissing,
    WorkspaceBarred,
    WorkspaceUnknown,
)
from services.auth.model import (
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


class _WorkspaceTokenRule(Enum):
    """Which workspace tokens open a gate."""

    OF_THE_WORKSPACE = "the token of the very workspace that the request is about"
    OF_THE_CLAIMED = "any token, unless its holder claims to be another workspace"
    ANY = "any token"
    AS_NOBODY = "any token, where nobody in particular may pass too, and then with no more rights"


class _OrgTokenRule(Enum):
    """What organisation tokens open."""

    WITHIN = "what is inside of the organisation, as far as the scopes go"
    PLATFORM = "nothing: the holder is known, and told that this is the operator's own"
    AS_STRANGERS = "nothing: the token is as good as a wrong one"
    AS_NOBODY = "what nobody in particular may open too, and then with no more rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class _GateRule:
    """One gate."""

    missing: str
    invalid: str
    tokens: _WorkspaceTokenRule
    orgs: _OrgTokenRule = _OrgTokenRule.WITHIN
    operator: bool = True
    open: bool = True
    """In open development a request without a bearer passes."""
    body: bool = False
    """About the workspace in the body, whose standing is judged before the bearer."""


_MISSING = "missing workspace auth token"
_INVALID = "invalid workspace auth token"

_ADMIN = _GateRule(
    missing="admin auth required", invalid="invalid admin auth token", tokens=_WorkspaceTokenRule.AS_NOBODY
)

_OWN = _GateRule(
    missing=_MISSING,
    invalid=_INVALID,
    tokens=_WorkspaceTokenRule.OF_THE_WORKSPACE,
    orgs=_OrgTokenRule.AS_STRANGERS,
    operator=False,
    open=False,
)

_RULES = {
    Gate.ADMIN: _ADMIN,
    Gate.PLATFORM: replace(_ADMIN, orgs=_OrgTokenRule.PLATFORM),
    Gate.TEST: replace(_ADMIN, orgs=_OrgTokenRule.AS_NOBODY, invalid=_ADMIN.missing),
    Gate.WORKSPACE: _GateRule(missing=_MISSING, invalid=_INVALID, tokens=_WorkspaceTokenRule.OF_THE_WORKSPACE),
    Gate.OWN: _OWN,
    Gate.ANY: _GateRule(
        missing="authentication required", invalid="invalid auth token", tokens=_WorkspaceTokenRule.ANY
    ),
    Gate.DISCOVERY: _GateRule(missing=_MISSING, invalid=_INVALID, tokens=_WorkspaceTokenRule.OF_THE_CLAIMED),
    Gate.REGISTER: replace(_OWN, open=True, body=True),
    Gate.BODY: replace(_OWN, body=True),
    Gate.A2A: _GateRule(
        missing="missing caller auth token",
        invalid="invalid caller auth token",
        tokens=_WorkspaceTokenRule.OF_THE_CLAIMED,
    ),
}


def needs_credential_state(gate: Gate, bearer: Bearer, mode: AccessMode) -> bool:
    """Whether it matters here how the workspace is known; without a bearer that is needed it is not even asked."""
    rule = _RULES[gate]
    return rule.body and not _lacks_bearer(rule, bearer, mode)


def needs_org(knock: AuthorizationRequest, bearer: Bearer) -> bool:
    """Whether it matters here which organisation the workspace belongs to."""
    within = _RULES[knock.gate].orgs is _OrgTokenRule.WITHIN
    return within and isinstance(bearer, OrgBearer) and knock.workspace_id is not None


def check_gate(
    knock: AuthorizationRequest,
    bearer: Bearer,
    mode: AccessMode,
    *,
    standing: CredentialState | None = None,
    org_id: str | None = None,
) -> Grant:
    """As whom the bearer passes; raises the refusal otherwise.

    `standing` is given where `needs_credential_state`, and `org_id`, the organisation of the workspace, where `needs_org`.
    """
    rule = _RULES[knock.gate]
    if _lacks_bearer(rule, bearer, mode):
        raise MissingBearer(rule.missing)
    if rule.body:
        _must_stand(standing)
    if rule.body and standing is CredentialState.HAS_LIVE_TOKEN and isinstance(bearer, Anonymous):
        raise MissingBearer(rule.missing)
    granted = _granted(rule, knock, bearer, mode, org_id)
    if granted is None:
        raise InvalidBearer(rule.invalid)
    return granted


def _granted(
    rule: _GateRule, knock: AuthorizationRequest, bearer: Bearer, mode: AccessMode, org_id: str | None
) -> Grant | None:
    """As whom the bearer passes; `None` if it is the wrong one here."""
    match bearer:
        case Anonymous():
            return bearer
        case AdminBearer():
            return bearer if rule.operator else None
        case WorkspaceBearer():
            return _as_holder(rule.tokens, bearer, knock, mode)
        case OrgBearer():
            return _as_org(rule, bearer, knock, mode, org_id)
        case UnknownBearer():
            return None
        case _:
            assert_never(bearer)


def _lacks_bearer(rule: _GateRule, bearer: Bearer, mode: AccessMode) -> bool:
    return isinstance(bearer, Anonymous) and not (rule.open and mode is AccessMode.OPEN)


def _must_stand(standing: CredentialState | None) -> None:
    match standing:
        case CredentialState.NO_LIVE_TOKEN | CredentialState.HAS_LIVE_TOKEN:
            return
        case CredentialState.BARRED:
            raise WorkspaceBarred
        case CredentialState.UNKNOWN | None:
            raise WorkspaceUnknown
        case _:
            assert_never(standing)


def _as_holder(
    tokens: _WorkspaceTokenRule, holder: WorkspaceBearer, knock: AuthorizationRequest, mode: AccessMode
) -> Grant | None:
    match tokens:
        case _WorkspaceTokenRule.ANY:
            return holder
        case _WorkspaceTokenRule.OF_THE_WORKSPACE:
            return holder if knock.workspace_id == holder.workspace_id else None
        case _WorkspaceTokenRule.OF_THE_CLAIMED:
            return holder if knock.claimed_workspace_id in {None, holder.workspace_id} else None
        case _WorkspaceTokenRule.AS_NOBODY:
            return Anonymous() if mode is AccessMode.OPEN else None
        case _:
            assert_never(tokens)


def _as_org(
    rule: _GateRule, holder: OrgBearer, knock: AuthorizationRequest, mode: AccessMode, org_id: str | None
) -> Grant | None:
    match rule.orgs:
        case _OrgTokenRule.WITHIN:
            _must_have_scope(holder, knock)
            if _is_about_one(rule, knock) and (knock.workspace_id is None or org_id != holder.org_id):
                raise OrgAccessDenied
            return holder
        case _OrgTokenRule.PLATFORM:
            raise PlatformAdminRequired
        case _OrgTokenRule.AS_STRANGERS:
            return None
        case _OrgTokenRule.AS_NOBODY:
            return Anonymous() if mode is AccessMode.OPEN else None
        case _:
            assert_never(rule.orgs)


def _must_have_scope(holder: OrgBearer, knock: AuthorizationRequest) -> None:
    needed = scopes.find_required_scope(knock.gate, knock.scope)
    if needed not in scopes.expand_scopes(holder.scopes):
        raise ScopeMissing(details={"required_scope": needed.value})


def _is_about_one(rule: _GateRule, knock: AuthorizationRequest) -> bool:
    """A gate that is about one workspace stays so if nobody says which."""
    return knock.workspace_id is not None or rule.tokens is _WorkspaceTokenRule.OF_THE_WORKSPACE
