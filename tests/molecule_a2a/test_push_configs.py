from copy import deepcopy

import pytest
from a2a.compat.v0_3 import conversions, types
from a2a.types import a2a_pb2
from hypothesis import given

from molecule_a2a.push_configs import (
    downgrade_config,
    downgrade_task_config,
    upgrade_config,
    upgrade_task_config,
)
from tests.molecule_a2a.objects import current_task_configs, few, legacy_task_configs, many, spoilt
from tests.molecule_a2a.sdk_readers import dump_legacy, read_current, read_legacy

LEGACY = {
    "taskId": "T",
    "pushNotificationConfig": {
        "id": "P",
        "url": "https://h",
        "token": "t",
        "authentication": {"schemes": ["Bearer"], "credentials": "c"},
        "vendor": 1,
    },
}

CURRENT = {
    "taskId": "T",
    "id": "P",
    "url": "https://h",
    "token": "t",
    "authentication": {"scheme": "Bearer", "credentials": "c"},
    "vendor": 1,
}


def test_a_config_has_one_form_in_each_dialect():
    assert upgrade_task_config(LEGACY) == CURRENT
    assert downgrade_task_config(CURRENT) == LEGACY


def test_further_schemes_are_kept():
    authentication = {"schemes": ["Bearer", "Basic"], "credentials": "c"}
    upgraded = upgrade_config({"url": "u", "authentication": authentication})
    assert upgraded["authentication"] == {**authentication, "scheme": "Bearer"}
    assert downgrade_config(upgraded)["authentication"] == authentication


@pytest.mark.parametrize("schemes", [[], [""], [5], None, "Bearer"])
def test_an_authentication_without_a_scheme_is_left_out(schemes):
    assert upgrade_config({"url": "u", "authentication": {"schemes": schemes, "credentials": "c"}}) == {"url": "u"}


def test_an_authentication_of_another_type_is_kept():
    assert upgrade_config({"authentication": None}) == {"authentication": None}
    assert downgrade_config({"url": "u", "authentication": 5}) == {"url": "u", "authentication": 5}


def test_what_proto_json_leaves_out_is_filled_for_the_old_dialect():
    assert downgrade_task_config({"authentication": {}}) == {
        "taskId": "",
        "pushNotificationConfig": {"url": "", "authentication": {"schemes": []}},
    }
    assert downgrade_config({"authentication": {"scheme": ""}})["authentication"] == {"schemes": []}


def test_the_old_dialect_has_no_tenants_and_reads_no_snake_case():
    assert downgrade_task_config({"task_id": "T", "tenant": "x", "url": "u"}) == {
        "taskId": "T",
        "pushNotificationConfig": {"url": "u"},
    }


def test_members_beside_the_nested_config_are_kept():
    assert upgrade_task_config({"taskId": "T", "x": 1, "pushNotificationConfig": {"url": "u", "taskId": "other"}}) == {
        "taskId": "T",
        "x": 1,
        "url": "u",
    }
    assert upgrade_task_config({"pushNotificationConfig": 5}) == {"pushNotificationConfig": 5}


@few
@given(legacy_task_configs)
def test_the_old_form_is_upgraded_without_loss(config):
    upgraded = upgrade_task_config(config)
    assert downgrade_task_config(upgraded) == config
    assert downgrade_task_config(config) == config
    expected = conversions.to_core_task_push_notification_config(
        types.TaskPushNotificationConfig.model_validate(config)
    )
    assert read_current(a2a_pb2.TaskPushNotificationConfig, upgraded) == expected


@few
@given(current_task_configs)
def test_the_new_form_is_downgraded_without_loss(config):
    downgraded = downgrade_task_config(config)
    assert upgrade_task_config(downgraded) == config
    assert upgrade_task_config(config) == config
    expected = conversions.to_compat_task_push_notification_config(
        read_current(a2a_pb2.TaskPushNotificationConfig, config)
    )
    assert read_legacy(types.TaskPushNotificationConfig, downgraded) == dump_legacy(expected)


@many
@given(spoilt(LEGACY, CURRENT).filter(lambda value: isinstance(value, dict)))
def test_any_object_is_converted_once(config):
    before = deepcopy(config)
    upgraded, downgraded = upgrade_task_config(config), downgrade_task_config(config)
    assert upgrade_task_config(upgraded) == upgraded
    assert downgrade_task_config(downgraded) == downgraded
    assert config == before
