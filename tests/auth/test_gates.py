"""Every gate, every bearer, both modes: section 4, 6.2 and 6.4 of docs/spec/rest.md as one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import gates
from services.auth.errors import InvalidBearer, MissingBearer, WorkspaceBarred, WorkspaceUnknown
from services.auth.model import (
    Gate,
    Holder,
    Knock,
    Mode,
    Nobody,
    Operator,
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
}

CASES = [
    pytest.param(gate, bearer, mode, _cell, id=f"{gate}-{name}-{mode.value}")
    for gate, row in TABLE.items()
    for (bearer, cell), name in zip(row.items(), ["operator", "own", "foreign", "stranger", "nobody"], strict=True)
    for mode in Mode
    for _cell in [cell if not isinstance(cell, tuple) else cell[mode is Mode.OPEN]]
]


def knock(gate: Gate) -> Knock:
    """About HERE, by one who claims to be HERE."""
    return Knock(gate=gate, workspace_id=HERE, claimed_id=HERE)


def outcome(*case):
    """As whom one passes, or why not and in which words."""
    try:
        return gates.judge(*case)
    except ServiceError as refusal:
        return type(refusal), refusal.message


@pytest.mark.covers("AUTH-03", "AUTH-21", "AUTH-22", "BEY-05")
@pytest.mark.parametrize(("gate", "bearer", "mode", "expected"), CASES)
def test_the_gate_answers_as_the_table_says(gate, bearer, mode, expected):
    refusal = MissingBearer if isinstance(bearer, Nobody) else InvalidBearer
    answer = outcome(knock(gate), bearer, mode, Standing.UNKEYED)
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
        gates.judge(knock(gate), bearer, mode, standing)


def test_a_workspace_that_could_not_be_looked_up_is_not_let_in():
    with pytest.raises(WorkspaceUnknown):
        gates.judge(knock(Gate.REGISTER), OWN, Mode.OPEN, None)


knocks = st.builds(
    Knock,
    gate=st.sampled_from(Gate),
    workspace_id=st.sampled_from([None, HERE, ELSEWHERE]),
    claimed_id=st.sampled_from([None, HERE, ELSEWHERE]),
)
modes = st.sampled_from(Mode)
standings = st.sampled_from([None, *Standing])
bearers = st.sampled_from([Operator(), OWN, FOREIGN, Stranger(), Nobody()])


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
