"""Tests of what the envelope of a message says about its place in the queue."""

import json

import pytest

from services.a2a_proxy import envelope
from services.a2a_proxy.model import Envelope


def read(request: dict) -> Envelope:
    return envelope.parse(json.dumps(request).encode(), version="", entropy=bytes(32))


def message(**fields) -> dict:
    text = [{"kind": "text", "text": "hi"}]
    params = {"message": {"messageId": "m", "parts": text, **fields}}
    return {"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": params}


@pytest.mark.covers("A2A-28")
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, None),
        ({"expires_in_seconds": 60}, 60),
        ({"expires_in_seconds": 0}, None),
        ({"expires_in_seconds": -1}, None),
        ({"expires_in_seconds": "60"}, None),
        ({"expires_in_seconds": 1.5}, None),
        ({"expires_in_seconds": True}, None),
        ({"expires_in_seconds": 10**12}, envelope.MAX_EXPIRY_SECONDS),
    ],
)
def test_a_positive_whole_number_of_seconds_limits_the_time_in_the_queue(params, expected):
    request = message()
    request["params"] |= params

    assert read(request).expires_in_seconds == expected


@pytest.mark.parametrize("params", [None, [], "x"])
def test_a_request_whose_params_are_no_object_has_no_expiry_and_no_priority(params):
    parsed = read({"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": params})

    assert (parsed.expires_in_seconds, parsed.priority, parsed.is_idempotent) == (None, 0, False)


@pytest.mark.covers("A2A-31")
@pytest.mark.parametrize(
    ("priority", "expected"),
    [(5, 5), (-10, -10), (0, 0), (11, 0), (-11, 0), ("5", 0), (True, 0), (1.0, 0), (None, 0)],
)
def test_a_priority_is_a_whole_number_within_its_limits(priority, expected):
    request = message()
    request["params"]["priority"] = priority

    assert read(request).priority == expected


@pytest.mark.parametrize(
    ("metadata", "configuration", "expected"),
    [
        ({"idempotent": True}, {}, True),
        ({}, {"idempotent": True}, True),
        ({"idempotent": "true"}, {"idempotent": 1}, False),
        ({}, {}, False),
    ],
)
def test_only_true_declares_that_a_message_may_be_delivered_twice(metadata, configuration, expected):
    request = message(metadata=metadata)
    request["params"]["configuration"] = configuration

    assert read(request).is_idempotent is expected
