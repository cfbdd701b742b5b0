"""The names by which adapters are found."""

import sys
from importlib.util import find_spec

import pytest

from molecule_agent.adapter import AdapterError, Workspace
from molecule_agent.adapter_loader import BUILT_IN, load_adapter

HERE = Workspace(id="w")

ADAPTER = """
from molecule_agent.adapter import BaseAdapter, CardFacts

class Adapter(BaseAdapter):
    def card(self):
        return CardFacts(name="Third", description="Of a third party.")

    async def answer(self, turn):
        yield "third"
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """A distribution with an adapter, whose entry point is `thirdparty`."""
    (tmp_path / "third_module.py").write_text(ADAPTER)
    information = tmp_path / "third-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[molecule_agent.adapters]\nthirdparty = third_module\necho = third_module\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("third_module", None)


def test_an_adapter_of_another_distribution_is_found_by_its_entry_point(third_party):
    assert load_adapter("thirdparty", HERE).card().name == "Third"


def test_no_entry_point_replaces_an_adapter_of_this_package(third_party):
    assert load_adapter("echo", HERE).card().name == "Echo"


def test_a_module_is_found_by_its_name(third_party):
    assert load_adapter("third_module", HERE).card().name == "Third"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_each_adapter_of_this_package_is_a_module(name):
    assert find_spec(BUILT_IN[name])


def test_an_unknown_name_is_refused():
    with pytest.raises(AdapterError, match=r"^ADAPTER_MODULE nobody: ModuleNotFoundError"):
        load_adapter("nobody", HERE)
