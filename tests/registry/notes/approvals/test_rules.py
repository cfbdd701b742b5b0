from dataclasses import replace
from datetime import timedelta

import pytest

from services.registry.notes.approvals import rules
from services.registry.notes.approvals.rules import Approval, ApprovalDecision
from services.registry.notes.errors import InvalidNote
from services.registry.workspace.events import EventDraft, EventType
from tests.registry.strategies import NOW

PENDING = Approval(
    id="a", workspace_id="w", action="deploy", reason="it is time", task_id="t", context='{"x":1}', created_at=NOW
)
LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (rules.MAX_ACTION_BYTES, 1000),
        (rules.MAX_REASON_BYTES, 8192),
        (rules.MAX_TASK_ID_BYTES, 200),
        (rules.MAX_DECIDER_BYTES, 200),
        (rules.MAX_CONTEXT_BYTES, 65536),
        (rules.MAX_PENDING_APPROVALS_PER_WORKSPACE, 100),
        (rules.DECISION_TIMEOUT, timedelta(minutes=10)),
        (rules.DEFAULT_DECIDER, "human"),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


@pytest.mark.parametrize(
    ("field", "max_bytes"), [("action", 1000), ("reason", 8192), ("task_id", 200), ("context", 65536)]
)
def test_each_text_of_a_request_has_its_limit_in_bytes(field, max_bytes):
    rules.check_approval(replace(PENDING, **{field: "x" * max_bytes}))
    rules.check_approval(replace(PENDING, **{field: "é" * (max_bytes // 2)}))
    for text in ("x" * (max_bytes + 1), "é" * (max_bytes // 2) + "x"):
        with pytest.raises(InvalidNote) as refusal:
            rules.check_approval(replace(PENDING, **{field: text}))
        assert refusal.value.message == f"{field} must be <= {max_bytes} bytes"


@pytest.mark.parametrize("field", ["action", "reason", "task_id", "context"])
def test_no_text_of_a_request_contains_nul(field):
    with pytest.raises(InvalidNote) as refusal:
        rules.check_approval(replace(PENDING, **{field: "a\0b"}))

    assert refusal.value.message == "invalid request body"


def test_only_the_action_of_a_request_is_required():
    rules.check_approval(replace(PENDING, reason="", task_id="", context=""))
    with pytest.raises(InvalidNote) as refusal:
        rules.check_approval(replace(PENDING, action=""))

    assert refusal.value.message == "invalid request body"


def test_a_decision_is_approved_or_denied():
    assert rules.parse_decision("approved") is ApprovalDecision.APPROVED
    assert rules.parse_decision("denied") is ApprovalDecision.DENIED
    for text in ("", "pending", "APPROVED"):
        with pytest.raises(InvalidNote) as refusal:
            rules.parse_decision(text)
        assert refusal.value.message == "decision must be 'approved' or 'denied'"


def test_a_decider_is_a_short_text_or_the_default():
    assert rules.parse_decider("") == "human"
    assert rules.parse_decider("x" * 200) == "x" * 200
    for text, message in (
        ("x" * 201, "decided_by must be <= 200 bytes"),
        ("a\0b", "invalid request body"),
    ):
        with pytest.raises(InvalidNote) as refusal:
            rules.parse_decider(text)
        assert refusal.value.message == message


def test_a_request_is_pending_until_a_decision_is_applied():
    assert (PENDING.decision, PENDING.decided_by, PENDING.decided_at) == (ApprovalDecision.PENDING, None, None)
    assert rules.apply_decision(PENDING, ApprovalDecision.DENIED, "eve", LATER) == replace(
        PENDING, decision=ApprovalDecision.DENIED, decided_by="eve", decided_at=LATER
    )


def test_a_request_has_an_event_for_its_workspace_and_one_for_the_parent():
    described = {"approval_id": "a", "action": "deploy", "reason": "it is time"}

    assert rules.build_request_notice(PENDING) == EventDraft(
        EventType.APPROVAL_REQUESTED, {**described, "task_id": "t"}
    )
    assert rules.build_escalation_notice(PENDING) == EventDraft(
        EventType.APPROVAL_ESCALATED, {**described, "from_workspace_id": "w"}
    )


@pytest.mark.parametrize(
    ("decision", "kind"),
    [
        (ApprovalDecision.APPROVED, EventType.APPROVAL_APPROVED),
        (ApprovalDecision.DENIED, EventType.APPROVAL_DENIED),
    ],
)
def test_a_decision_has_an_event_with_its_decider(decision, kind):
    decided = rules.apply_decision(PENDING, decision, "eve", LATER)

    assert rules.build_decision_notice(decided) == EventDraft(
        kind, {"approval_id": "a", "decision": decision.value, "decided_by": "eve"}
    )
