"""Every gate, every bearer, both modes: section 4, 6.2 and 6.4 of docs/spec/rest.md as one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import gates
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
    Gate,
    Holder,
    Knock,
    Mode,
    Nobody,
    Operator,
    OrgHolder,
    Scope,
    Standing,
    Stranger,
    TokenId,
    WorkspaceId,
)
from services.chassis.errors import ServiceError

HERE = WorkspaceId("11111111-1111-1111-1111-111111111111")
ELSEWHERE = WorkspaceId("22222222-2222-2222-2222-222222222222")

OWN = Holder(token_id=TokenId("own"), workspace_id=HERE, generation=3)
FOREIGN = Holder(token_id=TokenId("foreign"), workspace_id=ELSEWHERE, generation=None)

WS_401 = "invalid workspace auth token"
WS_NONE = "missing workspace auth token"
ADMIN_401 = "invalid admin auth token"
ADMIN_NONE = "admin auth required"
CALLER_401 = "invalid caller auth token"
CALLER_NONE = "missing caller auth token"
ANY_401 = "invalid auth token"
ANY_NONE = "authentication required"

# gate: who comes -> as whom they pass, or the words of the refusal; (closed, open) where the mode matters.
TABLE = {
    Gate.ADMIN: {
        Operator(): Operator(),
        OWN: (ADMIN_401, Nobody()),
        FOREIGN: (ADMIN_401, Nobody()),
        Stranger(): ADMIN_401,
        Nobody(): (ADMIN_NONE, Nobody()),
    },
    Gate.PLATFORM: {
        Operator(): Operator(),
        OWN: (ADMIN_401, Nobody()),
        FOREIGN: (ADMIN_401, Nobody()),
        Stranger(): ADMIN_401,
        Nobody(): (ADMIN_NONE, Nobody()),
    },
    Gate.WORKSPACE: {
        Operator(): Operator(),
        OWN: OWN,
        FOREIGN: WS_401,
        Stranger(): WS_401,
        Nobody(): (WS_NONE, Nobody()),
    },
    Gate.OWN: {
        Operator(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        Stranger(): WS_401,
        Nobody(): WS_NONE,
    },
    Gate.ANY: {
        Operator(): Operator(),
        OWN: OWN,
        FOREIGN: FOREIGN,
        Stranger(): ANY_401,
        Nobody(): (ANY_NONE, Nobody()),
    },
    Gate.DISCOVERY: {
        Operator(): Operator(),
        OWN: OWN,
        FOREIGN: WS_401,
        Stranger(): WS_401,
        Nobody(): (WS_NONE, Nobody()),
    },
    Gate.REGISTER: {
        Operator(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        Stranger(): WS_401,
        Nobody(): (WS_NONE, Nobody()),
    },
    Gate.BODY: {
        Operator(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        Stranger(): WS_401,
        Nobody(): WS_NONE,
    },
    Gate.A2A: {
        Operator(): Operator(),
        OWN: OWN,
        FOREIGN: CALLER_401,
        Stranger(): CALLER_401,
        Nobody(): (CALLER_NONE, Nobody()),
    },
    Gate.TEST: {
        Operator(): Operator(),
        OWN: (ADMIN_NONE, Nobody()),
        FOREIGN: (ADMIN_NONE, Nobody()),
        Stranger(): ADMIN_NONE,
        Nobody(): (ADMIN_NONE, Nobody()),
    },
}

CASES = [
    pytest.param(gate, bearer, mode, _cell, id=f"{gate}-{name}-{mode.value}")
    for gate, row in TABLE.items()
    for (bearer, cell), name in zip(row.items(), ["operator", "own", "foreign", "stranger", "nobody"], strict=True)
    for mode in Mode
    for _cell in [cell if not isinstance(cell, tuple) else cell[mode is Mode.OPEN]]
]


def knock(gate: Gate, scope: Scope | None = None) -> Knock:
    """About HERE, by one who claims to be HERE."""
    return Knock(gate=gate, scope=scope, workspace_id=HERE, claimed_id=HERE)


def outcome(knock, bearer, mode, standing=Standing.UNKEYED, org_id="org"):
    """As whom one passes, or why not and in which words."""
    try:
        return gates.judge(knock, bearer, mode, standing=standing, org_id=org_id)
    except ServiceError as refusal:
        return type(refusal), refusal.message


@pytest.mark.covers("AUTH-03", "AUTH-21", "AUTH-22", "BEY-05")
@pytest.mark.parametrize(("gate", "bearer", "mode", "expected"), CASES)
def test_the_gate_answers_as_the_table_says(gate, bearer, mode, expected):
    refusal = MissingBearer if isinstance(bearer, Nobody) else InvalidBearer
    answer = outcome(knock(gate), bearer, mode)
    assert answer == ((refusal, expected) if isinstance(expected, str) else expected)


def test_the_table_has_every_gate():
    assert set(TABLE) == set(Gate)


@pytest.mark.covers("AUTH-22", "A2A-09")
@pytest.mark.parametrize("gate", [Gate.A2A, Gate.DISCOVERY])
def test_a_holder_who_claims_nothing_is_who_the_token_says(gate):
    assert gates.judge(Knock(gate=gate, workspace_id=HERE), FOREIGN, Mode.CLOSED) == FOREIGN


@pytest.mark.parametrize("bearer", [Operator(), Nobody()])
def test_a_claim_has_no_effect_on_who_is_no_workspace(bearer):
    assert gates.judge(Knock(gate=Gate.A2A, claimed_id=ELSEWHERE), bearer, Mode.OPEN) == bearer


@pytest.mark.parametrize("gate", [Gate.WORKSPACE, Gate.OWN])
def test_a_gate_about_no_workspace_opens_for_no_workspace(gate):
    with pytest.raises(InvalidBearer):
        gates.judge(Knock(gate=gate), OWN, Mode.OPEN)


def org_token(*scopes: Scope, org_id: str = "org") -> OrgHolder:
    return OrgHolder(token_id=TokenId("org-token"), org_id=org_id, scopes=frozenset(scopes))


RULER = org_token(Scope.ADMIN)
ABROAD = org_token(Scope.ADMIN, org_id="another")
ORG_TOKENS = {
    "read": org_token(Scope.READ),
    "write": org_token(Scope.WRITE),
    "a2a": org_token(Scope.A2A),
    "usual": org_token(Scope.READ, Scope.WRITE, Scope.A2A),
    "admin": RULER,
    "abroad": ABROAD,
}
DENIED = (OrgAccessDenied, "org access denied")
PLATFORM = (PlatformAdminRequired, "platform admin required")
LACKING = (ScopeMissing, "token scope does not allow this")


def within(scope: Scope):
    """What needs a scope and ends at the organisation."""
    passing = {"usual", scope.value} if scope is not Scope.ADMIN else set()
    refused = dict.fromkeys(ORG_TOKENS.keys() - passing, LACKING)
    return refused | dict.fromkeys(passing, "pass") | {"admin": "pass", "abroad": DENIED}


def refused(error, words):
    return dict.fromkeys(ORG_TOKENS, (error, words))


# gate and what the route asks for: every organisation token -> whether it passes, or why not.
ORG_TABLE = {
    (Gate.ADMIN, None): within(Scope.ADMIN),
    (Gate.ADMIN, Scope.READ): within(Scope.ADMIN),
    (Gate.PLATFORM, None): dict.fromkeys(ORG_TOKENS, PLATFORM),
    (Gate.WORKSPACE, Scope.READ): within(Scope.READ),
    (Gate.WORKSPACE, Scope.WRITE): within(Scope.WRITE),
    (Gate.WORKSPACE, None): within(Scope.ADMIN),
    (Gate.WORKSPACE, Scope.A2A): within(Scope.ADMIN),
    (Gate.OWN, None): refused(InvalidBearer, WS_401),
    (Gate.ANY, None): within(Scope.READ),
    (Gate.DISCOVERY, None): within(Scope.READ),
    (Gate.DISCOVERY, Scope.READ): within(Scope.READ),
    (Gate.REGISTER, None): refused(InvalidBearer, WS_401),
    (Gate.BODY, None): refused(InvalidBearer, WS_401),
    (Gate.A2A, Scope.A2A): within(Scope.A2A),
    (Gate.A2A, None): within(Scope.A2A),
    (Gate.TEST, None): refused(InvalidBearer, ADMIN_NONE),
}


@pytest.mark.covers("AUTH-17", "AUTH-18", "GW-01", "BEY-05")
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("name", ORG_TOKENS)
@pytest.mark.parametrize(("gate", "scope"), ORG_TABLE)
def test_organisation_tokens_pass_as_the_table_says(gate, scope, name, mode):
    token, expected = ORG_TOKENS[name], ORG_TABLE[gate, scope][name]
    if gate is Gate.TEST and mode is Mode.OPEN:
        expected = Nobody()
    assert outcome(knock(gate, scope), token, mode) == (token if expected == "pass" else expected)


def test_the_table_of_organisation_tokens_has_every_gate():
    assert {gate for gate, _ in ORG_TABLE} == set(Gate)


@pytest.mark.parametrize("gate", [Gate.ADMIN, Gate.WORKSPACE, Gate.ANY, Gate.DISCOVERY, Gate.A2A])
def test_a_workspace_that_is_not_known_is_outside_of_every_organisation(gate):
    assert gates.asks_org(knock(gate), RULER)
    assert outcome(knock(gate, Scope.READ), RULER, Mode.OPEN, org_id=None) == DENIED


def test_what_is_about_no_workspace_needs_no_organisation():
    assert not gates.asks_org(Knock(gate=Gate.ADMIN), RULER)
    assert gates.judge(Knock(gate=Gate.ADMIN), RULER, Mode.CLOSED) == RULER
    assert outcome(Knock(gate=Gate.WORKSPACE, scope=Scope.READ), RULER, Mode.OPEN, org_id=None) == DENIED


def test_a_missing_scope_is_named():
    with pytest.raises(ScopeMissing) as refusal:
        gates.judge(knock(Gate.WORKSPACE, Scope.WRITE), ORG_TOKENS["read"], Mode.CLOSED, org_id="org")
    assert refusal.value.details == {"required_scope": "write"}


BODY_ORDER = [
    (Gate.REGISTER, Nobody(), Mode.CLOSED, Standing.UNKNOWN, MissingBearer),
    (Gate.REGISTER, Nobody(), Mode.OPEN, Standing.UNKNOWN, WorkspaceUnknown),
    (Gate.REGISTER, Nobody(), Mode.OPEN, Standing.BARRED, WorkspaceBarred),
    (Gate.REGISTER, Nobody(), Mode.OPEN, Standing.KEYED, MissingBearer),
    (Gate.REGISTER, Stranger(), Mode.OPEN, Standing.UNKNOWN, WorkspaceUnknown),
    (Gate.REGISTER, Stranger(), Mode.OPEN, Standing.BARRED, WorkspaceBarred),
    (Gate.REGISTER, Stranger(), Mode.OPEN, Standing.UNKEYED, InvalidBearer),
    (Gate.BODY, Nobody(), Mode.OPEN, Standing.UNKNOWN, MissingBearer),
    (Gate.BODY, Stranger(), Mode.CLOSED, Standing.UNKNOWN, WorkspaceUnknown),
    (Gate.BODY, FOREIGN, Mode.CLOSED, Standing.BARRED, WorkspaceBarred),
    (Gate.BODY, Operator(), Mode.CLOSED, Standing.KEYED, InvalidBearer),
]
"""Rows 3 to 7 of the body gate: what is judged first."""


@pytest.mark.covers("AUTH-09", "AUTH-23")
@pytest.mark.parametrize(("gate", "bearer", "mode", "standing", "refusal"), BODY_ORDER)
def test_the_body_gate_judges_in_its_order(gate, bearer, mode, standing, refusal):
    with pytest.raises(refusal):
        gates.judge(knock(gate), bearer, mode, standing=standing)


def test_a_workspace_that_could_not_be_looked_up_is_not_let_in():
    with pytest.raises(WorkspaceUnknown):
        gates.judge(knock(Gate.REGISTER), OWN, Mode.OPEN)


knocks = st.builds(
    Knock,
    gate=st.sampled_from(Gate),
    scope=st.sampled_from([None, *Scope]),
    workspace_id=st.sampled_from([None, HERE, ELSEWHERE]),
    claimed_id=st.sampled_from([None, HERE, ELSEWHERE]),
)
modes = st.sampled_from(Mode)
standings = st.sampled_from([None, *Standing])
bearers = st.sampled_from([Operator(), OWN, FOREIGN, Stranger(), Nobody(), *ORG_TOKENS.values()])
orgs = st.sampled_from([None, "org", "another"])


@given(knocks, modes, standings)
def test_a_wrong_bearer_passes_nowhere(knock, mode, standing):
    assert isinstance(outcome(knock, Stranger(), mode, standing), tuple)


@pytest.mark.covers("BEY-05")
@given(knocks, standings)
def test_nobody_passes_a_closed_gate(knock, standing):
    assert isinstance(outcome(knock, Nobody(), Mode.CLOSED, standing), tuple)


@given(knocks, bearers, modes, standings)
def test_nobody_leaves_a_gate_as_somebody_else(knock, bearer, mode, standing):
    granted = outcome(knock, bearer, mode, standing)
    assert isinstance(granted, tuple) or granted in {bearer, Nobody()}


@given(knocks, bearers, standings)
def test_who_passes_a_closed_gate_passes_as_themselves(knock, bearer, standing):
    granted = outcome(knock, bearer, Mode.CLOSED, standing)
    assert isinstance(granted, tuple) or granted == bearer


@given(knocks, bearers, modes, standings)
def test_standing_that_is_not_asked_for_changes_nothing(knock, bearer, mode, standing):
    if not gates.asks_standing(knock.gate, bearer, mode):
        assert outcome(knock, bearer, mode, standing) == outcome(knock, bearer, mode, None)


@given(knocks, st.sampled_from(list(ORG_TOKENS.values())), modes, standings, orgs)
def test_no_organisation_token_reaches_beyond_its_organisation(knock, token, mode, standing, org_id):
    granted = outcome(knock, token, mode, standing, org_id)
    if granted == token and knock.workspace_id is not None:
        assert org_id == token.org_id


@given(knocks, bearers, modes, standings, orgs)
def test_an_organisation_that_is_not_asked_for_changes_nothing(knock, bearer, mode, standing, org_id):
    if not gates.asks_org(knock, bearer):
        assert outcome(knock, bearer, mode, standing, org_id) == outcome(knock, bearer, mode, standing, None)
