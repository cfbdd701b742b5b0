"""Tests of the addresses in requests and answers, with configs at every place where agents read them."""

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect
from services.a2a_proxy.push import configs
from services.a2a_proxy.push.model import ConfigReference
from services.a2a_proxy.task_references import read_references

SECRETS = [f"{number:043d}" for number in range(9)]

CONFIG = {"url": "https://caller.example/hook", "token": "t", "authentication": {"schemes": ["Bearer"]}, "other": 1}

PLACES = [
    ("message/send", "configuration", "pushNotificationConfig"),
    ("message/stream", "configuration", "push_notification_config"),
    ("SendMessage", "configuration", "taskPushNotificationConfig"),
    ("SendStreamingMessage", "configuration", "task_push_notification_config"),
    ("SendMessage", "configuration", "pushNotification"),
    ("tasks/pushNotificationConfig/set", "pushNotificationConfig"),
    ("CreateTaskPushNotificationConfig",),
    ("CreateTaskPushNotificationConfig", "config"),
]


def make_addresses():
    return (configs.build_address("http://plane/", SECRETS[number]) for number in count())


def build_request(place: tuple[str, ...], config: dict) -> dict:
    method, *path = place
    params = config
    for name in reversed(path):
        params = {name: params}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"kept": True, **params}}


def rewrite(request: dict) -> configs.RewrittenRequest:
    method = find_method(request["method"])
    assert method is not None
    return configs.rewrite_request(request, method.operation, make_addresses())


@pytest.mark.parametrize("place", PLACES)
def test_a_config_anywhere_leads_to_the_plane_and_keeps_nothing_of_its_caller(place):
    request = build_request(place, CONFIG)

    rewritten = rewrite(request)

    assert configs.concerns(place[0], json.dumps(request).encode())
    expected = {"other": 1, "url": f"http://plane/a2a/push/{SECRETS[0]}"}
    assert rewritten.request == build_request(place, expected)
    [config] = rewritten.configs
    assert config.members == {name: CONFIG[name] for name in ("url", "token", "authentication")}
    assert request == build_request(place, CONFIG)


NAMES = st.sampled_from(
    ["pushNotificationConfig", "push_notification_config", "config", "url", "token", "id", "pushNotification", "x"]
)
TREES = st.recursive(
    st.sampled_from(["https://caller.example", "", 7, None]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["message/send", "tasks/pushNotificationConfig/set"]), st.dictionaries(NAMES, TREES, max_size=4))
def test_every_address_that_is_judged_is_replaced(method, config):
    params = {"configuration": config} if method == "message/send" else config
    request = {"method": method, "params": params}

    rewritten = rewrite(request)

    judged = read_references(method, params)
    if not judged.fault:
        assert {found.members["url"] for found in rewritten.configs} == set(judged.webhooks)
        left = read_references(method, rewritten.request["params"]).webhooks
        assert all(url.startswith("http://plane/") for url in left)
        assert len(left) == len(rewritten.configs)


@pytest.mark.parametrize("method", ["message/send", "SendMessage", "tasks/get", "unknown", ""])
def test_messages_without_configs_do_not_concern_the_relay(method):
    body = b'{"params":{"message":{"parts":[{"text":"hi"}]}}}'
    assert not configs.concerns(method, body)
    assert not configs.concerns(method, body, has_webhooks=False)


def test_what_is_known_of_a_message_counts_instead_of_a_search():
    spelled = b'{"params":{"configuration":{"pushNotificati\\u006fnConfig":{}}}}'

    assert configs.concerns("message/send", spelled, has_webhooks=True)
    assert not configs.concerns("message/send", b'{"text":"a notification"}', has_webhooks=False)
    assert configs.concerns("message/send", b'{"text":"a notification"}')
    assert configs.concerns("tasks/pushNotificationConfig/get", b"{}", has_webhooks=False)


@pytest.mark.parametrize("dialect", Dialect)
def test_answers_show_known_configs_and_no_address_of_others(dialect):
    address = configs.build_address("http://plane", SECRETS[0])
    other = configs.build_address("http://plane", SECRETS[1])
    written = {"url": "https://caller.example", "authentication": {"scheme": "Bearer", "credentials": "c"}}
    known = {SECRETS[0]: (written, Dialect.CURRENT)}
    forms = [
        lambda url: {"taskId": "t", "id": "c", "url": url},
        lambda url: {"taskId": "t", "pushNotificationConfig": {"id": "c", "url": url}},
        lambda url: [{"taskId": "t", "pushNotificationConfig": {"id": "c", "url": url}}, 7],
        lambda url: {"configs": [{"taskId": "t", "id": "c", "url": url}]},
    ]
    for form in forms:
        shown = json.dumps(configs.restore_result(form(address), known, dialect))

        assert configs.list_secrets(form(address)) == [SECRETS[0]]
        assert "https://caller.example" in shown
        assert SECRETS[0] not in shown
        assert ('"schemes": ["Bearer"]' in shown) == (dialect is Dialect.LEGACY)
        assert configs.restore_result(form(other), known, dialect) == form("")
        assert configs.restore_result(form("https://agent.example"), known, dialect) == form("https://agent.example")
    assert configs.restore_result(None, known, dialect) is None
    assert configs.list_secrets({"url": "http://plane/a2a/push/short"}) == []


@pytest.mark.parametrize(
    ("method", "params", "task_id", "config_id"),
    [
        ("tasks/pushNotificationConfig/delete", {"id": "t", "pushNotificationConfigId": "c"}, "t", "c"),
        ("tasks/pushNotificationConfig/delete", {"id": "t"}, "t", None),
        ("DeleteTaskPushNotificationConfig", {"taskId": "t", "id": "c"}, "t", "c"),
        ("DeleteTaskPushNotificationConfig", {"task_id": "t", "id": "c"}, "t", "c"),
        ("tasks/pushNotificationConfig/set", {"taskId": "t", "pushNotificationConfig": {}}, "t", None),
        ("message/send", {"message": {"taskId": "t"}, "id": "x"}, "t", None),
        ("message/send", {"message": {}}, None, None),
        ("DeleteTaskPushNotificationConfig", {"taskId": "a\0b", "id": "c" * 1001}, None, None),
    ],
)
def test_requests_name_tasks_and_configs(method, params, task_id, config_id):
    known = find_method(method)
    assert known is not None
    assert configs.read_reference({"params": params}, known) == ConfigReference(task_id, config_id)


@pytest.mark.parametrize(
    ("result", "id_"),
    [
        ({"taskId": "t", "id": "c"}, "c"),
        ({"taskId": "t", "pushNotificationConfig": {"id": "c"}}, "c"),
        ({"taskId": "t", "pushNotificationConfig": {"url": "u"}}, None),
        ({"id": 7}, None),
        ([], None),
        (None, None),
    ],
)
def test_answers_name_configs(result, id_):
    assert configs.find_config_id(result) == id_
