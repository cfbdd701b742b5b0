"""Converts push notification configs: 0.3 nests them beside the id of the task, 1.0 has one flat object."""

from molecule_a2a.members import fill_members, list_aliases, rename_members
from molecule_a2a.model import JsonObject

NESTED = "pushNotificationConfig"


def upgrade_task_config(config: JsonObject) -> JsonObject:
    """Return a config of 1.0 from one of 0.3 with the id of its task."""
    nested = config.get(NESTED)
    if not isinstance(nested, dict):
        return upgrade_config(config)
    outer = {name: value for name, value in config.items() if name != NESTED}
    upgraded = upgrade_config(nested)
    return outer | upgraded | ({"taskId": outer["taskId"]} if "taskId" in outer else {})


def downgrade_task_config(config: JsonObject) -> JsonObject:
    """Return a config of 0.3 with the id of its task."""
    if isinstance(config.get(NESTED), dict):
        return config
    config = rename_members(config, _ALIASES)
    task_id = config.get("taskId")
    return {"taskId": "" if task_id is None else task_id, NESTED: downgrade_config(config)}


def upgrade_config(config: JsonObject) -> JsonObject:
    """Return a config of 1.0. An authentication without a scheme is left out, because 1.0 has none."""
    upgraded = config.copy()
    authentication = config.get("authentication")
    if isinstance(authentication, dict):
        converted = _upgrade_authentication(authentication)
        if converted is None:
            del upgraded["authentication"]
        else:
            upgraded["authentication"] = converted
    return upgraded


def downgrade_config(config: JsonObject) -> JsonObject:
    """Return a config of 0.3 without the id of its task."""
    renamed = rename_members(config, _ALIASES)
    downgraded = {name: value for name, value in renamed.items() if name not in {"taskId", "tenant"}}
    fill_members(downgraded, ("url",), "")
    authentication = downgraded.get("authentication")
    if isinstance(authentication, dict):
        downgraded["authentication"] = _downgrade_authentication(authentication)
    return downgraded


_ALIASES = list_aliases("taskId")


def _upgrade_authentication(authentication: JsonObject) -> JsonObject | None:
    """Return it with the first of its schemes; further ones stay in `schemes`, where 1.0 ignores them."""
    if _is_scheme(authentication.get("scheme")):
        return authentication
    schemes = authentication.get("schemes")
    if not isinstance(schemes, list) or not schemes or not _is_scheme(schemes[0]):
        return None
    upgraded = {**authentication, "scheme": schemes[0]}
    if len(schemes) == 1:
        del upgraded["schemes"]
    return upgraded


def _downgrade_authentication(authentication: JsonObject) -> JsonObject:
    downgraded = authentication.copy()
    scheme = downgraded.pop("scheme", None)
    if not isinstance(downgraded.get("schemes"), list):
        downgraded["schemes"] = [scheme] if _is_scheme(scheme) else []
    return downgraded


def _is_scheme(value: object) -> bool:
    return isinstance(value, str) and bool(value)
