import json
from pathlib import Path

import pytest

from molecule_agent import echo
from molecule_agent.adapter import Workspace
from molecule_agent.card import build_card
from molecule_agent.heartbeat import build_heartbeat, build_runtime_metadata
from molecule_agent.task_tracker import TaskTracker
from tests.molecule_agent.adapters import native, raising

PARENT = "5b1f3d9e-6c2a-4b7e-9d6f-0c9d4e5f6a7b"
HERE = Workspace(id="0a6c1a3e-0d5c-4c3a-8c39-8f2f3a3c1a11", parent_id=PARENT, model="gpt")
GOLDEN = json.loads(Path("tests/golden/heartbeat.json").read_text(encoding="utf-8"))


def _build_heartbeat(adapter, tracker, uptime=0.0):
    document = build_card(adapter.card(), url="http://127.0.0.1:9000/")
    return build_heartbeat(workspace_id=HERE.id, card=document, tracker=tracker, adapter=adapter, uptime=uptime)


@pytest.mark.covers("REG-45", "AGT-12", "AGT-01", "REG-22")
def test_a_heartbeat_matches_the_golden_file():
    tracker = TaskTracker()
    with pytest.raises(ValueError, match="no"), tracker.track("earlier"):
        raise ValueError("no")
    with tracker.track("earlier too"):
        pass

    with tracker.track("summarise the minutes\nof yesterday"):
        body = _build_heartbeat(native.Adapter(HERE), tracker, uptime=61.9)

    assert json.loads(json.dumps(body)) == GOLDEN


@pytest.mark.covers("AGT-01")
def test_an_adapter_that_raises_does_not_stop_heartbeats(caplog):
    body = _build_heartbeat(raising.Adapter(HERE), TaskTracker())

    assert body["runtime_metadata"] == {}
    assert body["runtime_state"] == ""
    assert body["agent_card"]["name"] == "Raising"
    assert "could not declare its capabilities" in caplog.text


@pytest.mark.covers("AGT-01", "AGT-02")
@pytest.mark.parametrize(("override", "sent"), [(None, False), (0, False), (-5, False), (600, True)])
def test_only_a_positive_idle_timeout_is_sent(override, sent):
    class Adapter(echo.Adapter):
        def idle_timeout_override(self):
            return override

    assert ("idle_timeout_seconds" in build_runtime_metadata(Adapter(HERE))) is sent


@pytest.mark.covers("AGT-01")
def test_the_echo_adapter_declares_only_idempotent_delivery():
    declared = build_runtime_metadata(echo.Adapter(HERE))

    assert [key for key, value in declared["capabilities"].items() if value] == ["idempotent_delivery"]
    assert set(declared) == {"capabilities"}


def test_an_unknown_runtime_state_is_sent_as_well():
    class Adapter(echo.Adapter):
        def runtime_state(self):
            return "confused"

    assert _build_heartbeat(Adapter(HERE), TaskTracker())["runtime_state"] == ""
