"""What differs between the versions of Python that the plane runs on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = ("services", "gateway", "deploy", "molecule_agent", "molecule_cli", "molecule_http", "molecule_a2a")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_block_of_an_exception_group_raises(package):
    """Before Python 3.11.4, which Debian 12 does not have, `raise` in `except*` wraps its error in a group."""
    raising = [
        f"{path.relative_to(ROOT)}:{handler.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
        if any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))
    ]

    assert raising == []
