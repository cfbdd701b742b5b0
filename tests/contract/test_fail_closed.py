"""No access check fails open: the test searches the code of the checks for errors that let a caller pass."""

import ast
from pathlib import Path

import pytest

CHECKS = (
    *(
        f"services/auth/{name}.py"
        for name in ("gates", "keyring", "minting", "orgs", "scopes", "sessions", "tokens", "lifetimes", "sealing")
    ),
    *(f"gateway/{name}.py" for name in ("caller", "cors", "edge", "forwarded", "limits", "route")),
    *(
        f"services/registry/{name}.py"
        for name in ("lifecycle/address_check", "access", "workspace/hierarchy", "workspace/audiences")
    ),
    *(f"services/a2a_proxy/{name}.py" for name in ("route_cache", "routing")),
    *(f"services/chassis/{name}.py" for name in ("addresses", "feeds", "identity", "rpc")),
)
"""Modules that decide about access."""

HARMLESS_HANDLERS = {
    "gateway/caller.py listen": "without the feed auth is asked",
    "gateway/cors.py _is_no_name": "no address and not localhost: a name, which is not believed",
    "gateway/edge.py _answered": "a bug is answered with 500",
    "gateway/forwarded.py _trusts": "what is no address is no trusted proxy",
    "gateway/limits.py client": "what is no address is counted under its own name",
    "gateway/route.py __call__": "an error is an answer, a bug is 500",
    "services/auth/keyring.py _tellable_secret": "the secret is left out of the answer",
    "services/chassis/addresses.py _parse_destination": "no address: refused as forbidden",
    "services/chassis/addresses.py parse_endpoint": "no URL: there is no place to go to",
    "services/chassis/feeds.py connection": "a broken feed is no longer fresh, so its reader asks the source instead",
    "services/chassis/identity.py act_as": "only in a context that never had the identity is there none to put back",
    "services/chassis/rpc.py _parse_identity": "what is no identity is nobody, and nobody is refused",
    "services/chassis/rpc.py answer": "an error travels to the caller",
    "services/chassis/rpc.py answers": "an error travels to the caller",
    "services/registry/lifecycle/address_check.py _resolved": "no address: refused as unresolvable",
}
"""Functions of the checks that catch an error and continue, with the reason why no caller passes by it."""


def list_swallowing_functions(source, path):
    """Return the functions that catch an error without raising one."""
    tree = ast.parse(source)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        nested = {
            inner
            for node in ast.walk(function)
            if node is not function and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
        }
        for node in ast.walk(function):
            if node not in nested and _swallows(node):
                yield f"{path} {function.name}"


def _swallows(node):
    match node:
        case ast.ExceptHandler(body=body):
            return not isinstance(body[-1], ast.Raise)
        case ast.Call(func=ast.Name(id="suppress")):
            return True
    return False


def list_true_answers(source):
    """Return the lines that answer an error with `True`."""
    return [
        inner.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Constant) and inner.value.value is True
    ]


@pytest.mark.covers("BEY-05")
def test_a_check_that_fails_lets_no_caller_pass():
    found = {line for path in CHECKS for line in list_swallowing_functions(Path(path).read_text(), path)}

    assert found == set(HARMLESS_HANDLERS)


@pytest.mark.covers("BEY-05")
def test_no_error_anywhere_is_answered_with_true():
    modules = [
        path for folder in ("services", "gateway") for path in Path(folder).rglob("*.py") if "_pb2" not in path.name
    ]

    assert {str(path): lines for path in modules if (lines := list_true_answers(path.read_text()))} == {}


@pytest.mark.parametrize(
    "branch",
    [
        "except ValueError:\n        return True",
        "except ValueError:\n        pass",
        "finally:\n        pass\n    with suppress(ValueError):\n        pass",
    ],
)
def test_a_branch_that_fails_open_is_detected(branch):
    source = f"def check(x):\n    try:\n        ask(x)\n    {branch}\n"

    assert list(list_swallowing_functions(source, "m")) == ["m check"]
    assert bool(list_true_answers(source)) == ("True" in branch)
