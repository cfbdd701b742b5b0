import ast
from pathlib import Path

import pytest

SERVICES = Path(__file__).parent.parent.parent / "services"


def calls_of(function: ast.AST) -> set[str]:
    """What a function calls on its own parts, such as `_backend.start`."""
    return {
        f"{call.func.value.attr}.{call.func.attr}"
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Attribute)
    }


def starters(source: str) -> dict[str, set[str]]:
    """Every function that starts an instance, and what it calls."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = {function.name: calls_of(function) for function in functions}
    return {name: calls for name, calls in found.items() if "_backend.start" in calls}


@pytest.mark.covers("ENG-03")
def test_whoever_starts_an_instance_issues_its_credentials():
    found = {}
    for path in SERVICES.rglob("*.py"):
        found |= starters(path.read_text())

    assert found
    for name, calls in found.items():
        assert "_auth.credentials" in calls, f"{name} starts an instance: let it ask auth for credentials first"


@pytest.mark.covers("ENG-03")
def test_a_start_without_credentials_is_found():
    source = "class Steps:\n    async def hasty(self, spec):\n        await self._backend.start(spec)\n"

    assert starters(source) == {"hasty": {"_backend.start"}}
