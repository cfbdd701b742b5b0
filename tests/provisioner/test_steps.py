"""Rules for the code of the provisioner that a test can check on its syntax tree."""

import ast
from pathlib import Path

import pytest

SERVICES = Path(__file__).parent.parent.parent / "services"

RECEIVES_CREDENTIALS = "control_plane_server.py"
"""The reference server starts what a plane asks for, with the credentials that this plane issued."""


def list_calls(function: ast.AST) -> set[str]:
    """Return the calls of a function on attributes of its object, such as `_backend.start`."""
    return {
        f"{call.func.value.attr}.{call.func.attr}"
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Attribute)
    }


def find_starting_functions(source: str) -> dict[str, set[str]]:
    """Return the calls of every function that starts an instance, by the function's name."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = {function.name: list_calls(function) for function in functions}
    return {name: calls for name, calls in found.items() if "_backend.start" in calls}


@pytest.mark.covers("ENG-03")
def test_each_function_that_starts_an_instance_issues_its_credentials():
    found = {}
    for path in SERVICES.rglob("*.py"):
        if path.name != RECEIVES_CREDENTIALS:
            found |= find_starting_functions(path.read_text())

    assert found
    for name, calls in found.items():
        assert "_auth.issue_credentials" in calls, f"{name} starts an instance without issuing credentials"


@pytest.mark.covers("ENG-03")
def test_rule_finds_a_start_without_credentials():
    source = "class Steps:\n    async def hasty(self, spec):\n        await self._backend.start(spec)\n"

    assert find_starting_functions(source) == {"hasty": {"_backend.start"}}
