"""Tests each gate with each bearer in both modes: sections 4, 6.2 and 6.4 of docs/spec/rest.md as one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    CredentialState,
    Gate,
    OrgBearer,
    UnknownBearer,
    WorkspaceBearer,
)
from services.auth.model.placements import WorkspaceId
from services.auth.model.tokens import Scope, TokenId
from services.auth.rules import gates
from services.chassis.errors import ServiceError

HERE = WorkspaceId("11111111-1111-1111-1111-111111111111")
ELSEWHERE = WorkspaceId("22222222-2222-2222-2222-222222222222")

OWN = WorkspaceBearer(token_id=TokenId("own"), workspace_id=HERE, generation=3)
FOREIGN = WorkspaceBearer(token_id=TokenId("foreign"), workspace_id=ELSEWHERE, generation=None)

WS_401 = "invalid workspace auth token"
WS_NONE = "missing workspace auth token"
ADMIN_401 = "invalid admin auth token"
ADMIN_NONE = "admin auth required"
CALLER_401 = "invalid caller auth token"
CALLER_NONE = "missing caller auth token"
ANY_401 = "invalid auth token"
ANY_NONE = "authentication required"

# gate: bearer -> as whom it passes, or the text of the refusal; (closed, open) where the mode matters.
TABLE = {
    Gate.ADMIN: {
        AdminBearer(): AdminBearer(),
        OWN: (ADMIN_401, Anonymous()),
        FOREIGN: (ADMIN_401, Anonymous()),
        UnknownBearer(): ADMIN_401,
        Anonymous(): (ADMIN_NONE, Anonymous()),
    },
    Gate.PLATFORM: {
        AdminBearer(): AdminBearer(),
        OWN: (ADMIN_401, Anonymous()),
        FOREIGN: (ADMIN_401, Anonymous()),
        UnknownBearer(): ADMIN_401,
        Anonymous(): (ADMIN_NONE, Anonymous()),
    },
    Gate.WORKSPACE: {
        AdminBearer(): AdminBearer(),
        OWN: OWN,
        FOREIGN: WS_401,
        UnknownBearer(): WS_401,
        Anonymous(): (WS_NONE, Anonymous()),
    },
    Gate.OWN: {
        AdminBearer(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        UnknownBearer(): WS_401,
        Anonymous(): WS_NONE,
    },
    Gate.ANY: {
        AdminBearer(): AdminBearer(),
        OWN: OWN,
        FOREIGN: FOREIGN,
        UnknownBearer(): ANY_401,
        Anonymous(): (ANY_NONE, Anonymous()),
    },
    Gate.DISCOVERY: {
        AdminBearer(): AdminBearer(),
        OWN: OWN,
        FOREIGN: WS_401,
        UnknownBearer(): WS_401,
        Anonymous(): (WS_NONE, Anonymous()),
    },
    Gate.REGISTER: {
        AdminBearer(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        UnknownBearer(): WS_401,
        Anonymous(): (WS_NONE, Anonymous()),
    },
    Gate.BODY: {
        AdminBearer(): WS_401,
        OWN: OWN,
        FOREIGN: WS_401,
        UnknownBearer(): WS_401,
        Anonymous(): WS_NONE,
    },
    Gate.A2A: {
        AdminBearer(): AdminBearer(),
        OWN: OWN,
        FOREIGN: CALLER_401,
        UnknownBearer(): CALLER_401,
        Anonymous(): (CALLER_NONE, Anonymous()),
    },
    Gate.TEST: {
        AdminBearer(): AdminBearer(),
        OWN: (ADMIN_NONE, Anonymous()),
        FOREIGN: (ADMIN_NONE, Anonymous()),
        UnknownBearer(): ADMIN_NONE,
        Anonymous(): (ADMIN_NONE, Anonymous()),
    },
}

CASES = [
    pytest.param(gate, bearer, mode, _cell, id=f"{gate}-{name}-{mode.value}")
    for gate, row in TABLE.items()
    for (bearer, cell), name in zip(row.items(), ["operator", "own", "foreign", "stranger", "nobody"], strict=True)
    for mode in AccessMode
    for _cell in [cell if not isinstance(cell, tuple) else cell[mode is AccessMode.OPEN]]
]


def request(gate: Gate, scope: Scope | None = None) -> AuthorizationRequest:
    """A request about HERE, by a caller that claims to be HERE."""
    return AuthorizationRequest(gate=gate, scope=scope, workspace_id=HERE, claimed_workspace_id=HERE)


def outcome(request, bearer, mode, credential_state=CredentialState.NO_LIVE_TOKEN, org_id="org"):
    """Return the grant, or the class and the text of the refusal."""
    try:
        return gates.check_gate(request, bearer, mode, credential_state=credential_state, org_id=org_id)
    except ServiceError as refusal:
        return type(refusal), refusal.message


@pytest.mark.covers("AUTH-03", "AUTH-21", "AUTH-22", "BEY-05")
@pytest.mark.parametrize(("gate", "bearer", "mode", "expected"), CASES)
def test_each_gate_decides_as_the_table_says(gate, bearer, mode, expected):
    refusal = MissingBearer if isinstance(bearer, Anonymous) else InvalidBearer
    answer = outcome(request(gate), bearer, mode)
    assert answer == ((refusal, expected) if isinstance(expected, str) else expected)


def test_the_table_has_every_gate():
    assert set(TABLE) == set(Gate)


@pytest.mark.covers("AUTH-22", "A2A-09")
@pytest.mark.parametrize("gate", [Gate.A2A, Gate.DISCOVERY])
def test_a_workspace_token_without_a_claim_is_admitted_as_itself(gate):
    assert gates.check_gate(AuthorizationRequest(gate=gate, workspace_id=HERE), FOREIGN, AccessMode.CLOSED) == FOREIGN


@pytest.mark.parametrize("bearer", [AdminBearer(), Anonymous()])
def test_a_claim_has_no_effect_on_callers_that_are_no_workspace(bearer):
    assert (
        gates.check_gate(AuthorizationRequest(gate=Gate.A2A, claimed_workspace_id=ELSEWHERE), bearer, AccessMode.OPEN)
        == bearer
    )


@pytest.mark.parametrize("gate", [Gate.WORKSPACE, Gate.OWN])
def test_a_workspace_gate_without_a_workspace_refuses_workspace_tokens(gate):
    with pytest.raises(InvalidBearer):
        gates.check_gate(AuthorizationRequest(gate=gate), OWN, AccessMode.OPEN)


def org_token(*scopes: Scope, org_id: str = "org") -> OrgBearer:
    return OrgBearer(token_id=TokenId("org-token"), org_id=org_id, scopes=frozenset(scopes))


ORG_ADMIN = org_token(Scope.ADMIN)
OTHER_ORG_ADMIN = org_token(Scope.ADMIN, org_id="another")
ORG_TOKENS = {
    "read": org_token(Scope.READ),
    "write": org_token(Scope.WRITE),
    "a2a": org_token(Scope.A2A),
    "usual": org_token(Scope.READ, Scope.WRITE, Scope.A2A),
    "admin": ORG_ADMIN,
    "abroad": OTHER_ORG_ADMIN,
}
DENIED = (OrgAccessDenied, "org access denied")
PLATFORM = (PlatformAdminRequired, "platform admin required")
LACKING = (ScopeMissing, "token scope does not allow this")


def within(scope: Scope):
    """The outcomes of a gate that needs this scope and admits its organisation only."""
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
@pytest.mark.parametrize("mode", AccessMode)
@pytest.mark.parametrize("name", ORG_TOKENS)
@pytest.mark.parametrize(("gate", "scope"), ORG_TABLE)
def test_each_gate_decides_about_organisation_tokens_as_the_table_says(gate, scope, name, mode):
    token, expected = ORG_TOKENS[name], ORG_TABLE[gate, scope][name]
    if gate is Gate.TEST and mode is AccessMode.OPEN:
        expected = Anonymous()
    assert outcome(request(gate, scope), token, mode) == (token if expected == "pass" else expected)


def test_the_table_of_organisation_tokens_has_every_gate():
    assert {gate for gate, _ in ORG_TABLE} == set(Gate)


@pytest.mark.parametrize("gate", [Gate.ADMIN, Gate.WORKSPACE, Gate.ANY, Gate.DISCOVERY, Gate.A2A])
def test_an_unknown_workspace_belongs_to_no_organisation(gate):
    assert gates.needs_org(request(gate), ORG_ADMIN)
    assert outcome(request(gate, Scope.READ), ORG_ADMIN, AccessMode.OPEN, org_id=None) == DENIED


def test_a_request_about_no_workspace_needs_no_organisation():
    assert not gates.needs_org(AuthorizationRequest(gate=Gate.ADMIN), ORG_ADMIN)
    assert gates.check_gate(AuthorizationRequest(gate=Gate.ADMIN), ORG_ADMIN, AccessMode.CLOSED) == ORG_ADMIN
    assert (
        outcome(AuthorizationRequest(gate=Gate.WORKSPACE, scope=Scope.READ), ORG_ADMIN, AccessMode.OPEN, org_id=None)
        == DENIED
    )


def test_a_missing_scope_is_named_in_the_error():
    with pytest.raises(ScopeMissing) as refusal:
        gates.check_gate(request(Gate.WORKSPACE, Scope.WRITE), ORG_TOKENS["read"], AccessMode.CLOSED, org_id="org")
    assert refusal.value.details == {"required_scope": "write"}


BODY_ORDER = [
    (Gate.REGISTER, Anonymous(), AccessMode.CLOSED, CredentialState.UNKNOWN, MissingBearer),
    (Gate.REGISTER, Anonymous(), AccessMode.OPEN, CredentialState.UNKNOWN, WorkspaceUnknown),
    (Gate.REGISTER, Anonymous(), AccessMode.OPEN, CredentialState.BARRED, WorkspaceBarred),
    (Gate.REGISTER, Anonymous(), AccessMode.OPEN, CredentialState.HAS_LIVE_TOKEN, MissingBearer),
    (Gate.REGISTER, UnknownBearer(), AccessMode.OPEN, CredentialState.UNKNOWN, WorkspaceUnknown),
    (Gate.REGISTER, UnknownBearer(), AccessMode.OPEN, CredentialState.BARRED, WorkspaceBarred),
    (Gate.REGISTER, UnknownBearer(), AccessMode.OPEN, CredentialState.NO_LIVE_TOKEN, InvalidBearer),
    (Gate.BODY, Anonymous(), AccessMode.OPEN, CredentialState.UNKNOWN, MissingBearer),
    (Gate.BODY, UnknownBearer(), AccessMode.CLOSED, CredentialState.UNKNOWN, WorkspaceUnknown),
    (Gate.BODY, FOREIGN, AccessMode.CLOSED, CredentialState.BARRED, WorkspaceBarred),
    (Gate.BODY, AdminBearer(), AccessMode.CLOSED, CredentialState.HAS_LIVE_TOKEN, InvalidBearer),
]
"""Rows 3 to 7 of the body gate: which check comes first."""


@pytest.mark.covers("AUTH-09", "AUTH-23")
@pytest.mark.parametrize(("gate", "bearer", "mode", "credential_state", "refusal"), BODY_ORDER)
def test_the_body_gates_check_in_order(gate, bearer, mode, credential_state, refusal):
    with pytest.raises(refusal):
        gates.check_gate(request(gate), bearer, mode, credential_state=credential_state)


def test_a_body_gate_without_a_credential_state_refuses():
    with pytest.raises(WorkspaceUnknown):
        gates.check_gate(request(Gate.REGISTER), OWN, AccessMode.OPEN)


requests = st.builds(
    AuthorizationRequest,
    gate=st.sampled_from(Gate),
    scope=st.sampled_from([None, *Scope]),
    workspace_id=st.sampled_from([None, HERE, ELSEWHERE]),
    claimed_workspace_id=st.sampled_from([None, HERE, ELSEWHERE]),
)
modes = st.sampled_from(AccessMode)
credential_states = st.sampled_from([None, *CredentialState])
bearers = st.sampled_from([AdminBearer(), OWN, FOREIGN, UnknownBearer(), Anonymous(), *ORG_TOKENS.values()])
orgs = st.sampled_from([None, "org", "another"])


@given(requests, modes, credential_states)
def test_no_gate_admits_an_unknown_bearer(request, mode, credential_state):
    assert isinstance(outcome(request, UnknownBearer(), mode, credential_state), tuple)


@pytest.mark.covers("BEY-05")
@given(requests, credential_states)
def test_no_closed_gate_admits_a_missing_bearer(request, credential_state):
    assert isinstance(outcome(request, Anonymous(), AccessMode.CLOSED, credential_state), tuple)


@given(requests, bearers, modes, credential_states)
def test_a_grant_is_the_bearer_itself_or_anonymous(request, bearer, mode, credential_state):
    granted = outcome(request, bearer, mode, credential_state)
    assert isinstance(granted, tuple) or granted in {bearer, Anonymous()}


@given(requests, bearers, credential_states)
def test_a_grant_of_a_closed_gate_is_the_bearer_itself(request, bearer, credential_state):
    granted = outcome(request, bearer, AccessMode.CLOSED, credential_state)
    assert isinstance(granted, tuple) or granted == bearer


@given(requests, bearers, modes, credential_states)
def test_an_unneeded_credential_state_changes_nothing(request, bearer, mode, credential_state):
    if not gates.needs_credential_state(request.gate, bearer, mode):
        assert outcome(request, bearer, mode, credential_state) == outcome(request, bearer, mode, None)


@given(requests, st.sampled_from(list(ORG_TOKENS.values())), modes, credential_states, orgs)
def test_no_organisation_token_reaches_another_organisation(request, token, mode, credential_state, org_id):
    granted = outcome(request, token, mode, credential_state, org_id)
    if granted == token and request.workspace_id is not None:
        assert org_id == token.org_id


@given(requests, bearers, modes, credential_states, orgs)
def test_an_unneeded_organisation_changes_nothing(request, bearer, mode, credential_state, org_id):
    if not gates.needs_org(request, bearer):
        assert outcome(request, bearer, mode, credential_state, org_id) == outcome(
            request, bearer, mode, credential_state, None
        )


NEEDS_CREDENTIAL_STATE = {
    (gate, bearer, mode)
    for gate in (Gate.REGISTER, Gate.BODY)
    for bearer in (AdminBearer(), OWN, FOREIGN, UnknownBearer(), ORG_ADMIN)
    for mode in AccessMode
} | {(Gate.REGISTER, Anonymous(), AccessMode.OPEN)}
"""The body gates check the workspace first, unless a required bearer is missing."""


@pytest.mark.parametrize("mode", AccessMode)
@pytest.mark.parametrize("bearer", [AdminBearer(), OWN, FOREIGN, UnknownBearer(), Anonymous(), ORG_ADMIN])
@pytest.mark.parametrize("gate", Gate)
def test_only_the_body_gates_need_a_credential_state(gate, bearer, mode):
    expected = (gate, bearer, mode) in NEEDS_CREDENTIAL_STATE
    assert gates.needs_credential_state(gate, bearer, mode) is expected


@pytest.mark.parametrize("workspace_id", [HERE, None])
@pytest.mark.parametrize("bearer", [AdminBearer(), OWN, UnknownBearer(), Anonymous(), ORG_ADMIN])
@pytest.mark.parametrize("gate", Gate)
def test_only_organisation_tokens_for_a_workspace_need_its_organisation(gate, bearer, workspace_id):
    within_org = {Gate.ADMIN, Gate.WORKSPACE, Gate.ANY, Gate.DISCOVERY, Gate.A2A}
    expected = gate in within_org and bearer is ORG_ADMIN and workspace_id is HERE
    assert gates.needs_org(AuthorizationRequest(gate=gate, workspace_id=workspace_id), bearer) is expected


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate.ADMIN, ORG_ADMIN),
        (Gate.ANY, ORG_ADMIN),
        (Gate.DISCOVERY, ORG_ADMIN),
        (Gate.A2A, ORG_ADMIN),
        (Gate.WORKSPACE, DENIED),
    ],
)
def test_only_the_workspace_gate_refuses_organisation_tokens_without_a_workspace(gate, expected):
    assert outcome(AuthorizationRequest(gate=gate), ORG_ADMIN, AccessMode.CLOSED, org_id=None) == expected


@pytest.mark.parametrize("bearer", [OWN, UnknownBearer(), AdminBearer()])
def test_a_live_token_of_the_workspace_matters_to_anonymous_callers_only(bearer):
    results = [
        outcome(request(Gate.REGISTER), bearer, AccessMode.OPEN, state)
        for state in (CredentialState.NO_LIVE_TOKEN, CredentialState.HAS_LIVE_TOKEN)
    ]
    assert results[0] == results[1]
