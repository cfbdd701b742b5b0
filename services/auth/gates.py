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
    Bearer,
    Gate,
    Grant,
    Holder,
    Knock,
    Mode,
    Nobody,
    Operator,
    OrgHolder,
    Standing,
    Stranger,
)


class _Tokens(Enum):
    """Which workspace tokens open a gate."""

    OF_THE_WORKSPACE = "the token of the very workspace that the request is about"
    OF_THE_CLAIMED = "any token, unless its holder claims to be another workspace"
    ANY = "any token"
    AS_NOBODY = "any token, where nobody in particular may pass too, and then with no more rights"


class _Orgs(Enum):
    """What organisation tokens open."""

    WITHIN = "what is inside of the organisation, as far as the scopes go"
    PLATFORM = "nothing: the holder is known, and told that this is the operator's own"
    AS_STRANGERS = "nothing: the token is as good as a wrong one"
    AS_NOBODY = "what nobody in particular may open too, and then with no more rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One gate."""

    missing: str
    invalid: str
    tokens: _Tokens
    orgs: _Orgs = _Orgs.WITHIN
    operator: bool = True
    open: bool = True
    """In open development a request without a bearer passes."""
    body: bool = False
    """About the workspace in the body, whose standing is judged before the bearer."""


_MISSING = "missing workspace auth token"
_INVALID = "invalid workspace auth token"

_ADMIN = _Rule(missing="admin auth required", invalid="invalid admin auth token", tokens=_Tokens.AS_NOBODY)

_OWN = _Rule(
    missing=_MISSING,
    invalid=_INVALID,
    tokens=_Tokens.OF_THE_WORKSPACE,
    orgs=_Orgs.AS_STRANGERS,
    operator=False,
    open=False,
)

_RULES = {
    Gate.ADMIN: _ADMIN,
    Gate.PLATFORM: replace(_ADMIN, orgs=_Orgs.PLATFORM),
    Gate.TEST: replace(_ADMIN, orgs=_Orgs.AS_NOBODY, invalid=_ADMIN.missing),
    Gate.WORKSPACE: _Rule(missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_WORKSPACE),
    Gate.OWN: _OWN,
    Gate.ANY: _Rule(missing="authentication required", invalid="invalid auth token", tokens=_Tokens.ANY),
    Gate.DISCOVERY: _Rule(missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_CLAIMED),
    Gate.REGISTER: replace(_OWN, open=True, body=True),
    Gate.BODY: replace(_OWN, body=True),
    Gate.A2A: _Rule(
        missing="missing caller auth token", invalid="invalid caller auth token", tokens=_Tokens.OF_THE_CLAIMED
    ),
}


def asks_standing(gate: Gate, bearer: Bearer, mode: Mode) -> bool:
    """Whether it matters here how the workspace is known; without a bearer that is needed it is not even asked."""
    rule = _RULES[gate]
    return rule.body and not _lacks_bearer(rule, bearer, mode)


def asks_org(knock: Knock, bearer: Bearer) -> bool:
    """Whether it matters here which organisation the workspace belongs to."""
    within = _RULES[knock.gate].orgs is _Orgs.WITHIN
    return within and isinstance(bearer, OrgHolder) and knock.workspace_id is not None


def judge(
    knock: Knock, bearer: Bearer, mode: Mode, *, standing: Standing | None = None, org_id: str | None = None
) -> Grant:
    """As whom the bearer passes; raises the refusal otherwise.

    `standing` is given where `asks_standing`, and `org_id`, the organisation of the workspace, where `asks_org`.
    """
    rule = _RULES[knock.gate]
    if _lacks_bearer(rule, bearer, mode):
        raise MissingBearer(rule.missing)
    if rule.body:
        _must_stand(standing)
    if rule.body and standing is Standing.KEYED and isinstance(bearer, Nobody):
        raise MissingBearer(rule.missing)
    granted = _granted(rule, knock, bearer, mode, org_id)
    if granted is None:
        raise InvalidBearer(rule.invalid)
    return granted


def _granted(rule: _Rule, knock: Knock, bearer: Bearer, mode: Mode, org_id: str | None) -> Grant | None:
    """As whom the bearer passes; `None` if it is the wrong one here."""
    match bearer:
        case Nobody():
            return bearer
        case Operator():
            return bearer if rule.operator else None
        case Holder():
            return _as_holder(rule.tokens, bearer, knock, mode)
        case OrgHolder():
            return _as_org(rule, bearer, knock, mode, org_id)
        case Stranger():
            return None
        case _:
            assert_never(bearer)


def _lacks_bearer(rule: _Rule, bearer: Bearer, mode: Mode) -> bool:
    return isinstance(bearer, Nobody) and not (rule.open and mode is Mode.OPEN)


def _must_stand(standing: Standing | None) -> None:
    match standing:
        case Standing.UNKEYED | Standing.KEYED:
            return
        case Standing.BARRED:
            raise WorkspaceBarred
        case Standing.UNKNOWN | None:
            raise WorkspaceUnknown
        case _:
            assert_never(standing)


def _as_holder(tokens: _Tokens, holder: Holder, knock: Knock, mode: Mode) -> Grant | None:
    match tokens:
        case _Tokens.ANY:
            return holder
        case _Tokens.OF_THE_WORKSPACE:
            return holder if knock.workspace_id == holder.workspace_id else None
        case _Tokens.OF_THE_CLAIMED:
            return holder if knock.claimed_id in {None, holder.workspace_id} else None
        case _Tokens.AS_NOBODY:
            return Nobody() if mode is Mode.OPEN else None
        case _:
            assert_never(tokens)


def _as_org(rule: _Rule, holder: OrgHolder, knock: Knock, mode: Mode, org_id: str | None) -> Grant | None:
    match rule.orgs:
        case _Orgs.WITHIN:
            _must_have_scope(holder, knock)
            if _is_about_one(rule, knock) and (knock.workspace_id is None or org_id != holder.org_id):
                raise OrgAccessDenied
            return holder
        case _Orgs.PLATFORM:
            raise PlatformAdminRequired
        case _Orgs.AS_STRANGERS:
            return None
        case _Orgs.AS_NOBODY:
            return Nobody() if mode is Mode.OPEN else None
        case _:
            assert_never(rule.orgs)


def _must_have_scope(holder: OrgHolder, knock: Knock) -> None:
    needed = scopes.needed(knock.gate, knock.scope)
    if needed not in scopes.held(holder.scopes):
        raise ScopeMissing(details={"required_scope": needed.value})


def _is_about_one(rule: _Rule, knock: Knock) -> bool:
    """A gate that is about one workspace stays so if nobody says which."""
    return knock.workspace_id is not None or rule.tokens is _Tokens.OF_THE_WORKSPACE
