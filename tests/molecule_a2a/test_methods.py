from typing import get_args

import pytest
from a2a.compat.v0_3 import types
from a2a.types import a2a_pb2

from molecule_a2a.methods import LEGACY_NAMES, STREAMING_OPERATIONS, find_method, get_method_name
from molecule_a2a.model import Dialect, Operation

PAIRS = [
    ("message/send", "SendMessage"),
    ("message/stream", "SendStreamingMessage"),
    ("tasks/get", "GetTask"),
    ("tasks/list", "ListTasks"),
    ("tasks/cancel", "CancelTask"),
    ("tasks/resubscribe", "SubscribeToTask"),
    ("tasks/pushNotificationConfig/set", "CreateTaskPushNotificationConfig"),
    ("tasks/pushNotificationConfig/get", "GetTaskPushNotificationConfig"),
    ("tasks/pushNotificationConfig/list", "ListTaskPushNotificationConfigs"),
    ("tasks/pushNotificationConfig/delete", "DeleteTaskPushNotificationConfig"),
    ("agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"),
]


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_a_method_has_one_name_in_each_dialect(legacy, current):
    assert find_method(legacy) == (Operation(current), Dialect.LEGACY)
    assert find_method(current) == (Operation(current), Dialect.CURRENT)
    assert get_method_name(Operation(current), Dialect.LEGACY) == legacy
    assert get_method_name(Operation(current), Dialect.CURRENT) == current


def test_the_methods_are_those_of_the_sdk():
    legacy_requests = get_args(types.A2ARequest.model_fields["root"].annotation)
    assert set(a2a_pb2.DESCRIPTOR.services_by_name["A2AService"].methods_by_name) == set(Operation)
    assert {request.model_fields["method"].default for request in legacy_requests} == (
        set(LEGACY_NAMES.values()) - {"tasks/list"}
    )
    assert {"SendStreamingMessage", "SubscribeToTask"} == STREAMING_OPERATIONS


@pytest.mark.parametrize("name", ["tasks/send", "sendMessage", "", None, 5, ["SendMessage"], {}])
def test_another_name_is_no_method(name):
    assert find_method(name) is None
