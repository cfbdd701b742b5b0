"""Tests of the headers of notifications, and of what an attempt to send one means."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.model import Fault
from services.a2a_proxy.push.model import Verdict
from services.a2a_proxy.push.rules import MAX_AGE, MAX_ATTEMPTS, MAX_CONFIG_BYTES, build_headers, find_fault, judge

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("config", "headers"),
    [
        ({}, {}),
        ({"token": "t"}, {"x-a2a-notification-token": "t"}),
        ({"token": ""}, {}),
        ({"authentication": {"scheme": "Bearer", "credentials": "c"}}, {"authorization": "Bearer c"}),
        ({"authentication": {"schemes": ["Basic", "Bearer"], "credentials": "c"}}, {"authorization": "Basic c"}),
        ({"authentication": {"schemes": ["Bearer"]}}, {}),
        ({"authentication": {"credentials": "c"}}, {}),
        ({"authentication": "Bearer c"}, {}),
    ],
)
def test_headers_are_those_that_the_caller_configured(config, headers):
    assert find_fault(config, 10) == ""
    assert build_headers(config) == JSON | headers


@given(st.text(), st.text(), st.text())
def test_a_config_without_a_fault_has_headers_that_http_can_carry(token, scheme, credentials):
    config = {"token": token, "authentication": {"schemes": [scheme], "credentials": credentials}}

    if not find_fault(config, 10):
        for value in build_headers(config).values():
            assert value.isascii()
            assert value.isprintable()


def test_a_large_config_is_refused():
    assert find_fault({}, MAX_CONFIG_BYTES) == ""
    assert find_fault({}, MAX_CONFIG_BYTES + 1)


YOUNG = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.DROPPED),
        (400, Verdict.DROPPED),
        (401, Verdict.RETRIED),
        (404, Verdict.RETRIED),
        (410, Verdict.DROPPED),
        (429, Verdict.RETRIED),
        (500, Verdict.RETRIED),
        (503, Verdict.RETRIED),
        (Fault.CONNECT_FAILED, Verdict.RETRIED),
        (Fault.DEADLINE_EXCEEDED, Verdict.RETRIED),
        (Fault.ADDRESS_REFUSED, Verdict.DROPPED),
    ],
)
def test_a_notification_is_sent_again_if_the_receiver_may_take_it_later(outcome, verdict):
    assert judge(outcome, attempts=1, age=YOUNG) is verdict


@pytest.mark.parametrize(("attempts", "age"), [(MAX_ATTEMPTS, YOUNG), (1, MAX_AGE)])
def test_attempts_end_after_a_number_and_after_a_day(attempts, age):
    assert judge(503, attempts=attempts, age=age) is Verdict.DROPPED
    assert judge(Fault.RESET, attempts=attempts, age=age) is Verdict.DROPPED
    assert judge(200, attempts=attempts, age=age) is Verdict.DELIVERED
