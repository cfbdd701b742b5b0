import importlib

import pytest

from molecule_agent.import_filter import hide_modules


@pytest.fixture
def companion(tmp_path, monkeypatch) -> str:
    (tmp_path / "companion_of_a_library.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return "companion_of_a_library"


def test_a_hidden_module_is_missing_inside_the_block_and_importable_after_it(companion):
    with hide_modules(companion), pytest.raises(ImportError):
        importlib.import_module(companion)

    assert importlib.import_module(companion)


def test_a_module_that_was_imported_before_stays_imported():
    with hide_modules("json"):
        assert importlib.import_module("json")


def test_an_error_inside_the_block_ends_the_hiding(companion):
    with pytest.raises(ValueError, match="inside"), hide_modules(companion):
        raise ValueError("inside")

    assert importlib.import_module(companion)
