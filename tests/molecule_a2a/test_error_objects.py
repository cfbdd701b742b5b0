from copy import deepcopy

import pytest
from a2a.utils.error_handlers import build_error_details
from a2a.utils.errors import A2A_ERROR_REASONS, JSON_RPC_ERROR_CODE_MAP
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.error_objects import build_error, convert_error, downgrade_error, upgrade_error
from molecule_a2a.errors import REASONS, ConversionFailed
from molecule_a2a.model import Dialect
from tests.molecule_a2a.objects import junk, many

INFO = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "TASK_NOT_FOUND",
    "domain": "a2a-protocol.org",
}
VALUE = "type.googleapis.com/google.protobuf.Value"

PAIRS = [
    ({"code": -32001, "message": "m"}, {"code": -32001, "message": "m", "data": [INFO]}),
    (
        {"code": -32001, "message": "m", "data": {"a": 1}, "x": 1},
        {"code": -32001, "message": "m", "data": [INFO, {"@type": VALUE, "value": {"a": 1}}], "x": 1},
    ),
    ({"code": 7, "data": ["d"]}, {"code": 7, "data": [{"@type": VALUE, "value": ["d"]}]}),
    ({"code": 7}, {"code": 7}),
]


@pytest.mark.parametrize(("legacy", "current"), PAIRS)
def test_an_error_has_one_form_in_each_dialect(legacy, current):
    assert convert_error(legacy, Dialect.CURRENT) == current
    assert convert_error(current, Dialect.LEGACY) == legacy


def test_the_reasons_are_those_of_the_sdk():
    expected = {JSON_RPC_ERROR_CODE_MAP[type_]: reason for type_, reason in A2A_ERROR_REASONS.items()}
    assert expected == REASONS


@pytest.mark.parametrize("type_", A2A_ERROR_REASONS)
def test_the_details_are_those_of_the_sdk(type_):
    upgraded = upgrade_error({"code": JSON_RPC_ERROR_CODE_MAP[type_], "message": "m"})
    assert [{**upgraded["data"][0], "metadata": {}}] == build_error_details(type_())


@pytest.mark.parametrize(
    "details",
    [
        [{**INFO, "metadata": {"timestamp": "2026-01-01T00:00:00Z"}}],
        [INFO, {"@type": VALUE, "value": 1, "more": 2}],
        [INFO, {"@type": "other", "value": 1}],
        [INFO, {"@type": VALUE}],
        [INFO, INFO],
        [{"@type": VALUE, "value": 1}],
        [{**INFO, "reason": "OTHER"}],
    ],
)
def test_other_details_are_a_member_of_the_data_in_the_old_dialect(details):
    current = {"code": -32001, "message": "m", "data": details}
    legacy = {"code": -32001, "message": "m", "data": {"details": details}}

    assert downgrade_error(current) == legacy
    assert upgrade_error(legacy) == current


@pytest.mark.parametrize("data", [[INFO, "text"], [], "text", {"details": [INFO]}])
def test_data_without_types_goes_to_the_old_dialect_as_it_is(data):
    error = {"code": -32001, "message": "m", "data": data}
    assert downgrade_error(error) == error


@pytest.mark.parametrize("data", [[INFO], [{"@type": "other"}], [INFO, {"@type": VALUE, "value": 1}]])
def test_typed_details_stay_for_the_new_dialect(data):
    error = {"code": -32001, "message": "m", "data": data}
    assert upgrade_error(error) == error


@pytest.mark.parametrize("data", [[], [INFO, "text"], ["text"], {"@type": "x"}])
def test_data_without_types_is_a_value(data):
    assert upgrade_error({"code": -32001, "data": data})["data"] == [INFO, {"@type": VALUE, "value": data}]


def test_null_is_no_data():
    assert upgrade_error({"code": -32001, "data": None}) == {"code": -32001, "data": [INFO]}
    assert upgrade_error({"code": 7, "data": None}) == {"code": 7}


def test_a_failure_is_shown_in_the_form_of_the_caller():
    failure = ConversionFailed(-32001, "gone")
    assert build_error(failure, Dialect.LEGACY) == {"code": -32001, "message": "gone"}
    assert build_error(failure, Dialect.CURRENT) == {"code": -32001, "message": "gone", "data": [INFO]}


@many
@given(
    st.fixed_dictionaries({"code": junk | st.sampled_from([-32001, -32602, -32099])}, optional={"data": junk}) | junk
)
def test_any_error_comes_back(error):
    before = deepcopy(error)
    upgraded = convert_error(error, Dialect.CURRENT)
    assert convert_error(upgraded, Dialect.CURRENT) == upgraded
    if not isinstance(error, dict) or error.get("data", 0) is not None:
        assert convert_error(upgraded, Dialect.LEGACY) == error
    assert error == before


def test_the_reason_of_an_official_server_is_not_shown_to_callers_of_0_3():
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "TASK_NOT_FOUND",
        "domain": "a2a-protocol.org",
        "metadata": {},
    }

    assert downgrade_error({"code": -32001, "message": "gone", "data": [reason]}) == {"code": -32001, "message": "gone"}
