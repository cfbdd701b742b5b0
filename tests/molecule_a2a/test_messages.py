from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.messages import (
    downgrade_artifact,
    downgrade_message,
    has_parts,
    upgrade_artifact,
    upgrade_message,
)
from tests.molecule_a2a.objects import (
    current_artifacts,
    current_messages,
    few,
    legacy_artifacts,
    legacy_messages,
    many,
    spoilt,
)
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

HI = {"text": "hi"}


LEGACY = {
    "kind": "message",
    "messageId": "m1",
    "role": "user",
    "contextId": "c",
    "parts": [{"kind": "text", "text": "hi"}],
    "vendor": {"kept": 1},
}

CURRENT = {"messageId": "m1", "role": "ROLE_USER", "contextId": "c", "parts": [HI], "vendor": {"kept": 1}}


def test_a_message_has_one_form_in_each_dialect():
    assert upgrade_message(LEGACY) == CURRENT
    assert downgrade_message(CURRENT) == LEGACY


@pytest.mark.parametrize(
    ("old", "parts"),
    [
        ({"content": "hi"}, [HI]),
        ({"content": ""}, [{"text": ""}]),
        ({"content": {"kind": "text", "text": "hi"}}, [HI]),
        ({"content": ["hi", {"type": "text", "text": "hi"}]}, [HI, HI]),
        ({"parts": [], "content": "hi"}, [HI]),
        ({"parts": None, "content": "hi"}, [HI]),
        ({"parts": "hi"}, [HI]),
        ({"parts": {"kind": "text", "text": "hi"}}, [HI]),
        ({"parts": [HI, 5, None]}, [HI, 5, None]),
    ],
)
def test_older_spellings_of_parts_are_read(old, parts):
    assert upgrade_message(old) == {"parts": parts}


@pytest.mark.parametrize(
    "message",
    [
        {"parts": [HI], "content": "other"},
        {"parts": "", "content": 5},
        {"content": 5},
        {"content": None, "parts": None},
        {"parts": 5},
        {"kind": "greeting", "role": "system"},
        {"role": ["user"]},
        {},
    ],
)
def test_what_is_no_older_spelling_is_kept(message):
    expected = {**message, "parts": [{"text": ""}]} if message.get("parts") == "" else message
    assert upgrade_message(message) == expected


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"parts": [HI]}, True),
        ({"parts": "hi"}, True),
        ({"content": "hi"}, True),
        ({"content": {}}, True),
        ({"parts": 5}, True),
        ({"parts": []}, False),
        ({"content": []}, False),
        ({"content": 5}, False),
        ({"parts": None}, False),
        ({}, False),
    ],
)
def test_content_counts_as_parts(message, found):
    assert has_parts(message) is found


@pytest.mark.parametrize(
    ("role", "legacy"),
    [
        ("ROLE_USER", "user"),
        ("user", "user"),
        (1, "user"),
        ("ROLE_AGENT", "agent"),
        ("agent", "agent"),
        (2, "agent"),
        ("ROLE_UNSPECIFIED", "agent"),
        (None, "agent"),
        (["ROLE_USER"], "agent"),
    ],
)
def test_an_unspecified_role_is_an_agent(role, legacy):
    assert downgrade_message({"role": role})["role"] == legacy


def test_what_proto_json_leaves_out_is_filled_for_the_old_dialect():
    empty = {"kind": "message", "role": "agent", "messageId": "", "parts": []}
    assert downgrade_message({}) == empty
    assert downgrade_message({"messageId": None, "parts": None, "contextId": "", "taskId": ""}) == empty
    assert downgrade_artifact({}) == {"artifactId": "", "parts": []}


def test_snake_case_is_read():
    message = {"message_id": "m", "context_id": "c", "task_id": "t", "reference_task_ids": ["r"], "parts": []}
    assert downgrade_message(message) == {
        "kind": "message",
        "role": "agent",
        "messageId": "m",
        "contextId": "c",
        "taskId": "t",
        "referenceTaskIds": ["r"],
        "parts": [],
    }
    assert downgrade_artifact({"artifact_id": "a", "parts": []}) == {"artifactId": "a", "parts": []}


def test_a_member_in_both_spellings_keeps_both():
    message = downgrade_message({"messageId": "m", "message_id": "other"})
    assert message["messageId"] == "m"
    assert message["message_id"] == "other"


@few
@given(legacy_messages, legacy_artifacts)
def test_the_old_form_is_upgraded_without_loss(message, artifact):
    upgraded = upgrade_message(message)
    assert downgrade_message(upgraded) == message
    assert downgrade_message(message) == message
    assert read_current(a2a_pb2.Message, upgraded) == conversions.to_core_message(types.Message.model_validate(message))
    upgraded = upgrade_artifact(artifact)
    assert downgrade_artifact(upgraded) == artifact
    assert read_current(a2a_pb2.Artifact, upgraded) == conversions.to_core_artifact(
        types.Artifact.model_validate(artifact)
    )


@few
@given(current_messages, current_artifacts)
def test_the_new_form_is_downgraded_without_loss(message, artifact):
    downgraded = downgrade_message(message)
    assert upgrade_message(downgraded) == message
    assert upgrade_message(message) == message
    expected = conversions.to_compat_message(read_current(a2a_pb2.Message, message))
    assert read_legacy(types.Message, downgraded) == dump_legacy(expected)
    downgraded = downgrade_artifact(artifact)
    assert upgrade_artifact(downgraded) == artifact
    expected = conversions.to_compat_artifact(read_current(a2a_pb2.Artifact, artifact))
    assert read_legacy(types.Artifact, downgraded) == dump_legacy(expected)


@many
@given(spoilt(LEGACY, CURRENT).filter(lambda value: isinstance(value, dict)))
def test_any_object_is_converted_once(message):
    before = deepcopy(message)
    upgraded, downgraded = upgrade_message(message), downgrade_message(message)
    assert upgrade_message(upgraded) == upgraded
    assert downgrade_message(downgraded) == downgraded
    assert upgrade_artifact(upgrade_artifact(message)) == upgrade_artifact(message)
    assert downgrade_artifact(downgrade_artifact(message)) == downgrade_artifact(message)
    assert message == before
