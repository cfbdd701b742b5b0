"""Tests for the members of requests that the parsers of agents read in different ways."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.ambiguous_members import find_ambiguous_name, has_repeated_names
from services.chassis import strict_json

LONG_S = "ta\u017fkId"
"""Parsers of Go take this letter for an s."""

TEXTS = st.text(st.sampled_from(':"\\u03aA{}é'), max_size=6)

VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def build(method: str, **params) -> dict:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({**build("message/send"), "Method": "tasks/get"}, "Method"),
        ({**build("message/send"), "PARAMS": {"id": "t"}}, "PARAMS"),
        ({**build("other"), "metHod": "tasks/get"}, "metHod"),
        (build("tasks/get", id="mine", ID="theirs"), "ID"),
        (build("GetTask", id="mine", Id="theirs"), "Id"),
        (build("tasks/x", id="mine", **{LONG_S: "theirs"}), LONG_S),
        (build("CancelTask", id="mine", Task_ID="theirs"), "Task_ID"),
        (build("CreateTaskPushNotificationConfig", taskId="t", url="u", URL="v"), "URL"),
        (build("tasks/pushNotificationConfig/set", taskId="t", pushnotificationconfig={}), "pushnotificationconfig"),
        (build("tasks/pushNotificationConfig/set", taskId="t", pushNotificationConfig={"Url": "v"}), "Url"),
        (build("message/send", message={"taskid": "theirs"}), "taskid"),
        (build("SendMessage", message={"ReferenceTaskIds": ["theirs"]}), "ReferenceTaskIds"),
        (build("message/stream", Message={}), "Message"),
        (build("message/send", message={}, Configuration={}), "Configuration"),
        (build("message/send", configuration={"PushNotificationConfig": {}}), "PushNotificationConfig"),
        (build("SendMessage", configuration={"taskPushNotificationConfig": {"config": {"uRL": "v"}}}), "uRL"),
    ],
    ids=lambda value: ascii(value) if isinstance(value, str) else value["method"],
)
def test_a_member_that_other_parsers_take_for_one_that_the_plane_judges_is_found(request_, name):
    assert find_ambiguous_name(request_) == name


@pytest.mark.parametrize(
    "request_",
    [
        {**build("message/send", message={"taskId": "t", "task_id": "t", "Other": 1}, metadata={"ID": 7}), "x": 1},
        build("SendMessage", configuration={"push_notification_config": {"url": "u", "id": "c", "token": "t"}}),
        build("tasks/get", id="t", task_id="t", historyLength=1, metadata={"Id": 1}),
        build("vendor/method", ID="x", Url="y"),
        build("tasks/get"),
        {"method": ["tasks/get"], "params": [{"ID": 1}]},
        {},
    ],
    ids=lambda value: str(value.get("method")),
)
def test_members_that_the_plane_does_not_judge_may_have_any_name(request_):
    assert find_ambiguous_name(request_) is None


@given(VALUES)
def test_a_text_without_repeated_names_has_none(value):
    for raw in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        seems_to = r"\u003" in raw
        assert not has_repeated_names(raw.encode(), strict_json.parse(raw.encode())) or seems_to


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id":"a","id":"b"}',
        b'{"id" :"a", "\\u0069d" : "b"}',
        b'{"x":[{"id":{"y":1},"id":2}]}',
        b'{"id":"\\u003a","id":"\\u003A","x":":"}',
        b'{"id":"\\u005cu003a","id":"\\u005cu003a"}',
        b'{"x":"\\\\u003a","id":1,"id":1}',
    ],
)
def test_repeated_names_are_found_in_every_spelling(raw):
    assert has_repeated_names(raw, strict_json.parse(raw))
