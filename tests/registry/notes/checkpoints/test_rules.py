from dataclasses import replace

import pytest

from services.registry.notes.checkpoints import rules
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.errors import InvalidNote
from tests.registry.strategies import NOW

STEP = Checkpoint(id="c", workspace_id="w", workflow_id="build", step_name="test", step_index=1, completed_at=NOW)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (rules.MAX_NAME_BYTES, 200),
        (rules.MAX_PAYLOAD_BYTES, 65536),
        (rules.MAX_CHECKPOINTS_PER_WORKSPACE, 500),
        (rules.RESERVED_WORKFLOW_ID, "latest"),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


@pytest.mark.parametrize(
    "fields",
    [
        {"workflow_id": "x" * 200},
        {"step_name": "é" * 100},
        {"step_name": "latest"},
        {"workflow_id": "the latest"},
        {"workflow_id": " "},
        {"step_name": "~"},
        {"payload": None},
        {"payload": ""},
        {"payload": "x" * 65536},
        {"payload": "é" * 32768},
    ],
)
def test_a_step_within_the_limits_is_valid(fields):
    rules.check_checkpoint(replace(STEP, **fields))


@pytest.mark.parametrize("name", ["workflow_id", "step_name"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid request body"),
        ("x" * 201, "{} must be <= 200 bytes"),
        ("é" * 100 + "x", "{} must be <= 200 bytes"),
        ("a\x1fb", "{} must not contain control characters"),
        ("\0", "{} must not contain control characters"),
        ("a\n", "{} must not contain control characters"),
    ],
)
def test_a_name_over_a_limit_is_refused(name, text, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.check_checkpoint(replace(STEP, **{name: text}))

    assert refusal.value.message == message.format(name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workflow_id": "latest"}, "workflow_id must not be 'latest'"),
        ({"payload": "x" * 65537}, "payload must be <= 65536 bytes"),
        ({"payload": "é" * 32768 + "x"}, "payload must be <= 65536 bytes"),
    ],
)
def test_a_reserved_workflow_and_a_large_payload_are_refused(fields, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.check_checkpoint(replace(STEP, **fields))

    assert refusal.value.message == message
