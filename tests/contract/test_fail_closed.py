"""No branch fails open: where a check cannot be made, nobody passes (a walk over the code of the checks)."""

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
"""Where it is decided who may do what."""

REFUSES = {
    "gateway/cors.py _has_local_or_literal_host": "a host name does not prove the origin",
    "gateway/middleware.py _answer": "a bug is answered with 500",
    "gateway/proxy_headers.py _trusts": "a peer without an address is no trusted proxy",
    "gateway/limits.py client_bucket_key": "a client without an address is counted by its text",
    "gateway/endpoint.py __call__": "an error is an answer, a bug is 500",
    "services/auth/tokens/credentials.py _open_inbound_secret": "the secret is left out of the answer",
    "services/chassis/addresses.py _parse_destination": "no address: refused as forbidden",
    "services/chassis/addresses.py parse_endpoint": "no URL: no endpoint to connect to",
    "services/chassis/feeds.py connection": "a broken feed is no longer fresh, so its reader asks the source instead",
    "services/chassis/identity.py act_as": "only a context that never had the identity has none to restore",
    "services/chassis/rpc.py _parse_identity": "a malformed identity is treated as none, and a call without one is refused",
    "services/chassis/rpc.py answer": "an error travels to the caller",
    "services/chassis/rpc.py answers": "an error travels to the caller",
    "services/registry/lifecycle/address_check.py _resolve": "no address: refused as unresolvable",
}
"""Functions of the checks that catch something and go on, and why that lets nobody in."""


def goes_on(source, path):
    """The functions that catch something without raising."""
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


def allows(source):
    """Lines that answer a failure with `True`."""
    return [
        inner.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Constant) and inner.value.value is True
    ]


@pytest.mark.covers("BEY-05")
def test_a_check_that_fails_lets_nobody_in():
    found = {line for path in CHECKS for line in goes_on(Path(path).read_text(), path)}

    assert found == set(REFUSES)


@pytest.mark.covers("BEY-05")
def test_no_failure_anywhere_is_answered_with_yes():
    modules = [
        path for folder in ("services", "gateway") for path in Path(folder).rglob("*.py") if "_pb2" not in path.name
    ]

    assert {str(path): lines for path in modules if (lines := allows(path.read_text()))} == {}


@pytest.mark.parametrize(
    "branch",
    [
        "except ValueError:\n        return True",
        "except ValueError:\n        pass",
        "finally:\n        pass\n    with suppress(ValueError):\n        pass",
    ],
)
def test_a_branch_that_fails_open_is_found(branch):
    source = f"def check(x):\n    try:\n        ask(x)\n    {branch}\n"

    assert list(goes_on(source, "m")) == ["m check"]
    assert bool(allows(source)) == ("True" in branch)
