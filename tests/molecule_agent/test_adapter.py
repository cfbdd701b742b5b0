import dataclasses

import pytest

from molecule_agent import echo
from molecule_agent.adapter import AdapterError, BaseAdapter, RuntimeCapabilities, Workspace
from molecule_agent.adapter_loader import load_adapter
from tests.molecule_agent.adapters import native

HERE = Workspace(id="w", parent_id="p", model="m")

FLAGS = [field.name for field in dataclasses.fields(RuntimeCapabilities)]


@pytest.mark.covers("AGT-02")
def test_capabilities_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RuntimeCapabilities().provides_native_session = True


@pytest.mark.covers("AGT-02")
@pytest.mark.parametrize("flag", FLAGS)
def test_nothing_is_declared_by_default(flag):
    assert getattr(RuntimeCapabilities(), flag) is False


@pytest.mark.covers("AGT-02", "REG-45")
@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_has_its_own_key_in_a_heartbeat(flag):
    declared = RuntimeCapabilities(**{flag: True}).to_dict()

    assert [key for key, value in declared.items() if value] == [flag.removeprefix("provides_native_")]


@pytest.mark.covers("REG-45")
def test_a_heartbeat_has_five_capability_keys():
    assert set(RuntimeCapabilities().to_dict()) == {
        "heartbeat",
        "scheduler",
        "status_mgmt",
        "session",
        "idempotent_delivery",
    }


@pytest.mark.covers("AGT-02")
def test_an_adapter_declares_idempotent_delivery_by_default():
    assert echo.Adapter(HERE).capabilities() == RuntimeCapabilities(idempotent_delivery=True)
    assert echo.Adapter(HERE).idle_timeout_override() is None


@pytest.mark.covers("A2A-37")
def test_only_an_adapter_with_a_queue_of_its_own_declares_a_session():
    assert native.Adapter(HERE).capabilities().to_dict()["session"] is True
    assert echo.Adapter(HERE).capabilities().to_dict()["session"] is False


@pytest.mark.covers("AGT-02")
def test_the_capabilities_of_one_adapter_do_not_change_those_of_another():
    before = echo.Adapter(HERE).capabilities()

    assert native.Adapter(HERE).capabilities() != before
    assert echo.Adapter(HERE).capabilities() == before


@pytest.mark.covers("AGT-08")
def test_an_adapter_receives_its_workspace():
    loaded = load_adapter("tests.molecule_agent.adapters.native", HERE)

    assert isinstance(loaded, BaseAdapter)
    assert loaded.workspace == HERE


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("tests.molecule_agent.adapters.missing", "ModuleNotFoundError: No module named"),
        ("tests.molecule_agent.adapters.broken", "RuntimeError: a library is missing"),
        ("tests.molecule_agent.fake_plane", "AttributeError: module .* has no attribute 'Adapter'"),
        ("tests.molecule_agent.adapters.unfinished", "Adapter is not derived from"),
    ],
)
def test_a_module_without_an_adapter_is_refused_in_one_line(module, why):
    with pytest.raises(AdapterError, match=f"^ADAPTER_MODULE {module}: {why}") as refused:
        load_adapter(module, HERE)

    assert "\n" not in str(refused.value)
