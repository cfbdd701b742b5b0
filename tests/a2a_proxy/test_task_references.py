import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.model import NO_REFERENCES
from services.a2a_proxy.task_references import INVALID_ID, MAX_TASKS, TOO_MANY, read_references

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)

NAMES = st.sampled_from(
    [
        "id",
        "taskId",
        "task_id",
        "message",
        "configuration",
        "pushNotificationConfig",
        "url",
        "referenceTaskIds",
        "config",
    ]
)

PARAMS = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.dictionaries(NAMES, JSON, max_size=3) | JSON, max_size=3) | JSON, max_size=4
)

METHODS = st.sampled_from(["message/send", "SendMessage", "tasks/get", "tasks/x", "ListTasks", "GetTask", "other", ""])


@pytest.mark.parametrize(
    ("method", "params", "ids"),
    [
        ("tasks/get", {"id": "t"}, ("t",)),
        ("tasks/get", {"id": "t", "taskId": "u", "task_id": "t"}, ("u", "t")),
        ("GetTask", {"id": "t"}, ("t",)),
        ("GetTaskPushNotificationConfig", {"taskId": "t", "id": "config"}, ("t",)),
        ("tasks/pushNotificationConfig/delete", {"id": "t", "pushNotificationConfigId": "c"}, ("t",)),
        ("tasks/sendSubscribe", {"id": "t"}, ("t",)),
        ("message/send", {"message": {"taskId": "t", "contextId": "c"}}, ("t",)),
        ("SendMessage", {"message": {"task_id": "t", "referenceTaskIds": ["u", "t"]}}, ("t", "u")),
        ("SendMessage", {"message": {}, "configuration": {"taskPushNotificationConfig": {"taskId": "t"}}}, ("t",)),
        ("message/send", {"message": {"taskId": ""}}, ()),
        ("tasks/list", {"id": "t"}, ()),
        ("other", {"id": "t"}, ()),
    ],
)
def test_the_tasks_of_a_request_are_found_in_every_spelling(method, params, ids):
    assert read_references(method, params).task_ids == ids


@pytest.mark.parametrize(
    ("method", "params", "urls"),
    [
        ("tasks/pushNotificationConfig/set", {"taskId": "t", "pushNotificationConfig": {"url": "u"}}, ("u",)),
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "url": "u", "config": {"url": "v"}}, ("u", "v")),
        ("message/send", {"configuration": {"pushNotificationConfig": {"url": "u"}}}, ("u",)),
        ("SendMessage", {"configuration": {"task_push_notification_config": {"url": "u"}}}, ("u",)),
        ("message/send", {"message": {"metadata": {"url": "u"}}, "configuration": {"x": {"url": "v"}}}, ()),
        ("tasks/pushNotificationConfig/get", {"id": "t", "url": "u"}, ()),
        ("message/send", {"configuration": {"pushNotificationConfig": {"url": 7}}}, ()),
    ],
)
def test_the_addresses_of_push_notifications_are_found(method, params, urls):
    assert read_references(method, params).webhooks == urls


@pytest.mark.parametrize("id_", [7, True, [], {"a": 1}, "x" * 1001, "a\0"])
def test_what_no_task_is_called_is_a_fault(id_):
    assert read_references("tasks/get", {"id": id_}).fault == INVALID_ID
    assert read_references("message/send", {"message": {"referenceTaskIds": ["t", id_]}}).fault == INVALID_ID


def test_the_number_of_tasks_and_addresses_is_limited():
    many = [str(number) for number in range(MAX_TASKS + 1)]

    assert read_references("message/send", {"message": {"referenceTaskIds": many}}).fault == TOO_MANY
    assert not read_references("message/send", {"message": {"referenceTaskIds": many[1:]}}).fault


def test_a_context_that_cannot_be_stored_is_left_out():
    for context_id in (7, "x" * 1001, "a\0", ""):
        assert read_references("message/send", {"message": {"contextId": context_id}}).context_id is None
    assert read_references("SendMessage", {"message": {"context_id": "c"}}).context_id == "c"


@given(METHODS, PARAMS)
def test_any_params_are_read_and_what_is_found_can_be_stored(method, params):
    found = read_references(method, params)

    if method in {"ListTasks", "other", ""}:
        assert found is NO_REFERENCES
    assert all(0 < len(id_) <= 1000 and "\0" not in id_ for id_ in found.task_ids)
    assert not (found.fault and (found.task_ids or found.webhooks))
