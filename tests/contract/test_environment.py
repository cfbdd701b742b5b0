"""No HTTP client of the plane or of an agent takes a proxy, a trust store or a credential from its environment."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = ("services", "gateway", "deploy", "molecule_agent", "molecule_cli")

PROGRAMS_OF_USERS = ROOT / "gateway" / "snippets"
"""Programs that the plane gives to users, who run them on their own machines."""

HTTP_CLIENTS = frozenset({"AsyncClient", "Client", "ClientSession"})
"""The classes of httpx and aiohttp that read the environment unless they are told not to."""

ENVIRONMENT_READERS = frozenset({"create_default_context", "urlopen", "getproxies"})
"""Functions of the standard library that read the environment; the first opens the file of SSLKEYLOGFILE."""


def find_environment_readers(source, name):
    """Return a line for each call that reads the environment for its connections."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in ENVIRONMENT_READERS:
            found.append(f"{name}:{node.lineno}: {node.func.attr}")
        if node.func.attr in HTTP_CLIENTS and not any(
            keyword.arg == "trust_env" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            for keyword in node.keywords
        ):
            found.append(f"{name}:{node.lineno}: {node.func.attr} without trust_env=False")
    return found


@pytest.mark.covers("ENV-03")
def test_no_http_client_reads_the_environment():
    files = [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.is_relative_to(PROGRAMS_OF_USERS)
    ]
    assert [line for path in files for line in find_environment_readers(path.read_text(), path.relative_to(ROOT))] == []


@pytest.mark.parametrize(
    "source",
    ["httpx.AsyncClient()", "httpx.Client(trust_env=True)", "ssl.create_default_context()", "aiohttp.ClientSession()"],
)
def test_a_client_that_reads_the_environment_is_found(source):
    assert len(find_environment_readers(source, "module.py")) == 1
