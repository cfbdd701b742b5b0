"""Who passes which gate, and the exact words for those who do not.

The table is section 4 of the REST contract, with 6.2 for the two gates about a body and 6.4 for messages.
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from services.auth.errors import InvalidBearer, MissingBearer, WorkspaceBarred, WorkspaceUnknown
from services.auth.model import Bearer, Gate, Grant, Holder, Knock, Mode, Nobody, Operator, Standing, Stranger


class _Tokens(Enum):
    """Which workspace tokens open a gate."""

    OF_THE_WORKSPACE = "the token of the very workspace that the request is about"
    OF_THE_CLAIMED = "any token, unless its holder claims to be another workspace"
    ANY = "any token"
    AS_NOBODY = "any token, where nobody in particular may pass too, and then with no more rights"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One gate."""

    missing: str
    invalid: str
    tokens: _Tokens
    operator: bool = True
    open: bool = True
    """In open development a request without a bearer passes."""
    body: bool = False
    """About the workspace in the body, whose standing is judged before the bearer."""


_MISSING = "missing workspace auth token"
_INVALID = "invalid workspace auth token"

_ADMIN = _Rule(missing="admin auth required", invalid="invalid admin auth token", tokens=_Tokens.AS_NOBODY)

_RULES = {
    Gate.ADMIN: _ADMIN,
    Gate.PLATFORM: _ADMIN,
    Gate.WORKSPACE: _Rule(missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_WORKSPACE),
    Gate.OWN: _Rule(missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_WORKSPACE, operator=False, open=False),
    Gate.ANY: _Rule(missing="authentication required", invalid="invalid auth token", tokens=_Tokens.ANY),
    Gate.DISCOVERY: _Rule(missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_CLAIMED),
    Gate.REGISTER: _Rule(
        missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_WORKSPACE, operator=False, body=True
    ),
    Gate.BODY: _Rule(
        missing=_MISSING, invalid=_INVALID, tokens=_Tokens.OF_THE_WORKSPACE, operator=False, open=False, body=True
    ),
    Gate.A2A: _Rule(
        missing="missing caller auth token", invalid="invalid caller auth token", tokens=_Tokens.OF_THE_CLAIMED
    ),
}


def asks_standing(gate: Gate, bearer: Bearer, mode: Mode) -> bool:
    """Whether it matters here how the workspace is known; without a bearer that is needed it is not even asked."""
    rule = _RULES[gate]
    return rule.body and not _lacks_bearer(rule, bearer, mode)


def judge(knock: Knock, bearer: Bearer, mode: Mode, standing: Standing | None = None) -> Grant:
    """As whom the bearer passes; raises the refusal otherwise. `standing` is given where `asks_standing`."""
    rule = _RULES[knock.gate]
    if _lacks_bearer(rule, bearer, mode):
        raise MissingBearer(rule.missing)
    if rule.body:
        _must_stand(standing)
    match bearer:
        case Nobody():
            if rule.body and standing is Standing.KEYED:
                raise MissingBearer(rule.missing)
            return bearer
        case Operator():
            if rule.operator:
                return bearer
        case Holder():
            if (granted := _as_holder(rule.tokens, bearer, knock, mode)) is not None:
                return granted
        case Stranger():
            pass
        case _:
            assert_never(bearer)
    raise InvalidBearer(rule.invalid)


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
