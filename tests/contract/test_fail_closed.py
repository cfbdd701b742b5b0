"""No access check fails open: the test searches the code of the checks for errors that let a caller pass."""

import ast
from pathlib import Path

import pytest

CHECKS = (
    *(
        f"services/auth/{name}.py"
        for name in (
            "authorization",
            "rules/gates",
            "rules/placements",
            "rules/scopes",
            "rules/token_expiry",
            "rules/token_text",
            "tokens/credentials",
            "tokens/org_tokens",
            "tokens/sessions",
            "tokens/workspace_tokens",
            "vault/sealing",
        )
    ),
    *(
        f"gateway/{name}.py"
        for name in (
            "authentication",
            "authorization_cache",
            "cors",
            "endpoint",
            "guards",
            "limits",
            "middleware",
            "proxy_headers",
        )
    ),
    *(
        f"services/registry/{name}.py"
        for name in ("access", "lifecycle/address_check", "workspace/hierarchy", "workspace/audiences")
    ),
    *(f"services/a2a_proxy/{name}.py" for name in ("route_cache", "routing")),
    *(f"services/chassis/{name}.py" for name in ("addresses", "feeds", "identity", "rpc")),
)
"""Modules that decide about access."""

HARMLESS_HANDLERS = {
    "gateway/cors.py normalize_origin": "a text that is no URL is no origin",
    "gateway/middleware.py _answer": "a bug is answered with 500",
    "gateway/proxy_headers.py _trusts": "a peer without an address is no trusted proxy",
    "gateway/limits.py client_bucket_key": "a client without an address is counted by its text",
    "gateway/endpoint.py __call__": "an error is an answer, a bug is 500",
    "services/auth/tokens/credentials.py _open_inbound_secret": "the secret is left out of the answer",
    "services/chassis/addresses.py _parse_destination": "no address: refused as forbidden",
    "services/chassis/addresses.py is_ip_address": "no address: checked as a name, and as what it resolves to",
    "services/chassis/addresses.py parse_endpoint": "no URL: no endpoint to connect to",
    "services/chassis/feeds.py connection": "a broken feed is no longer fresh, so its reader asks the source instead",
    "services/chassis/identity.py act_as": "only a context that never had the identity has none to restore",
    "services/chassis/rpc.py _parse_identity": "a malformed identity counts as none, and such a call is refused",
    "services/chassis/rpc.py answer": "an error travels to the caller",
    "services/chassis/rpc.py answers": "an error travels to the caller",
    "services/registry/lifecycle/address_check.py _resolve": "no address: refused as unresolvable",
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
