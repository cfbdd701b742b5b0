from copy import deepcopy

import pytest
from a2a.compat.v0_3 import types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.errors import ConversionFailed
from molecule_a2a.notifications import downgrade_notification, upgrade_notification
from tests.molecule_a2a.objects import current_events, current_tasks, few, junk, legacy_tasks, many, spoilt
from tests.molecule_a2a.sdk_readers import read_current, read_legacy

LEGACY = {"kind": "task", "id": "T", "contextId": "C", "status": {"state": "completed"}}
CURRENT = {"task": {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}}}


def test_a_task_has_one_form_in_each_dialect():
    assert upgrade_notification(LEGACY) == CURRENT
    assert downgrade_notification(CURRENT) == LEGACY
    assert upgrade_notification(CURRENT) == CURRENT
    assert downgrade_notification(LEGACY) == LEGACY


def test_a_status_update_is_a_task_with_this_status():
    update = {"taskId": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}, "metadata": {"a": 1}}
    assert downgrade_notification({"statusUpdate": update}) == LEGACY


@pytest.mark.parametrize("body", [{"artifactUpdate": {"taskId": "T", "artifact": {}}}, {"message": {"messageId": "m"}}])
def test_what_says_nothing_about_the_state_has_no_body(body):
    assert downgrade_notification(body) is None


@pytest.mark.parametrize("body", [None, [], "x", {}, {"hello": 1}])
@pytest.mark.parametrize("convert", [upgrade_notification, downgrade_notification])
def test_another_body_is_refused(body, convert):
    with pytest.raises(ConversionFailed) as found:
        convert(body)
    assert found.value.code == -32602
    assert found.value.text == "the body is no push notification of A2A"


@few
@given(legacy_tasks)
def test_a_receiver_of_the_new_dialect_reads_the_task(task):
    upgraded = upgrade_notification(task)
    assert downgrade_notification(upgraded) == task
    assert read_current(a2a_pb2.StreamResponse, upgraded).task.id == task["id"]


@few
@given(current_events | current_tasks.map(lambda task: {"task": task}))
def test_a_receiver_of_the_old_dialect_reads_a_task(event):
    body = downgrade_notification(event)
    if body is not None:
        assert read_legacy(types.Task, body) == body


@many
@given(spoilt(LEGACY, CURRENT) | junk)
def test_any_body_is_converted_or_refused(body):
    before = deepcopy(body)
    for convert in (upgrade_notification, downgrade_notification):
        try:
            convert(body)
        except ConversionFailed as failure:
            assert failure.code == -32602  # noqa: PT017 - most bodies are converted
    assert body == before
