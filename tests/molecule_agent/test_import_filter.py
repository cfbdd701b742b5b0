import importlib

import pytest

from molecule_agent.import_filter import hide_modules


@pytest.fixture
def companion(tmp_path, monkeypatch) -> str:
    (tmp_path / "companion_of_a_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return "companion_of_a_library"


def test_what_is_hidden_is_missing_inside_and_there_afterwards(companion):
    with hide_modules(companion), pytest.raises(ImportError):
        importlib.import_module(companion)

    assert importlib.import_module(companion)


def test_what_was_imported_before_stays():
    with hide_modules("json"):
        assert importlib.import_module("json")


def test_an_error_inside_hides_nothing_for_good(companion):
    with pytest.raises(ValueError, match="inside"), hide_modules(companion):
        raise ValueError("inside")

    assert importlib.import_module(companion)
