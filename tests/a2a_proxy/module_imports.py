"""Finds what modules import, from their syntax trees."""

import ast
from importlib.util import find_spec
from pathlib import Path


def find_imports(path: Path) -> set[str]:
    """Return every name that a file imports: modules, and what it imports from them as `module.name`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def find_imported_modules(module: str, within: str) -> set[str]:
    """Return the modules of the package `within` that a module imports, itself or through others of that package."""
    found, unread = set(), {module}
    while unread:
        known = _find_file(unread.pop())
        new = {one for one in find_imports(known) if one.startswith(f"{within}.") and _is_module(one)} - found
        found |= new
        unread |= new
    return found


def _find_file(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # an attribute of a module
        return False
