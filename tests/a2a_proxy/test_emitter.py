"""Parts of the proxy record and broadcast through the emitter, and only one part lets gateways subscribe."""

import ast
from pathlib import Path

import pytest

from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.emitter import EventEmitter
from tests.a2a_proxy.module_imports import find_imports

ROOT = Path("services")

CONCRETE = {"services.a2a_proxy.broadcasts", "services.registry.feeds.broadcasts"}
"""The modules to which gateways subscribe."""


def list_members(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.covers("ACT-06")
def test_the_emitter_records_and_broadcasts_and_only_the_fan_out_can_be_subscribed_to():
    assert list_members(EventEmitter) == {"wait_for_room", "record", "record_soon", "broadcast"}
    assert list_members(EventEmitter) <= list_members(ActivityLog)
    assert "subscribe" in list_members(BroadcastFanOut)
    assert "subscribe" not in list_members(ActivityLog)


@pytest.mark.covers("ACT-06")
def test_no_part_that_handles_calls_knows_what_broadcasts():
    modules = list(ROOT.glob("a2a_proxy/**/*.py"))
    importing = {module.relative_to(ROOT).as_posix() for module in modules if find_imports(module) & CONCRETE}

    assert ROOT / "a2a_proxy" / "queue" / "drain.py" in modules
    assert importing == {"a2a_proxy/activity.py", "a2a_proxy/api.py", "a2a_proxy/app.py"}
    assert "services.a2a_proxy.emitter" in find_imports(ROOT / "a2a_proxy" / "reports.py")
    assert "services.a2a_proxy.activity" not in find_imports(ROOT / "a2a_proxy" / "reports.py")


@pytest.mark.covers("ACT-06")
def test_the_servicers_of_the_proxy_subscribe_and_publish_nothing():
    servicers = ast.parse((ROOT / "a2a_proxy" / "api.py").read_text())

    used = {node.attr for node in ast.walk(servicers) if isinstance(node, ast.Attribute)}
    assert "subscribe" in used
    assert "publish" not in used
