import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "molecule_a2a"


def list_imports():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module


def test_the_package_imports_the_standard_library_only():
    packages = {name.partition(".")[0] for name in list_imports()}
    assert packages - {"molecule_a2a"} <= sys.stdlib_module_names
    assert "molecule_a2a" in packages


def test_the_table_of_contents_names_every_module():
    contents = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text()))
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in contents} == {"members", "model", "params", "timestamps"}


def test_the_table_of_contents_of_the_binding_names_every_module():
    contents = ast.get_docstring(ast.parse((PACKAGE / "rest" / "__init__.py").read_text()))
    modules = {path.stem for path in (PACKAGE / "rest").glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in contents} == set()
