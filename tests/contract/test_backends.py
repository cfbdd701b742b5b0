"""The type checker compares every backend with the protocol `Backend`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.provisioner.backends import BACKENDS

ROOT = Path(__file__).parents[2]


def find_source(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


@pytest.mark.covers("PROV-01", "ENG-07")
@pytest.mark.parametrize("module", BACKENDS.values(), ids=BACKENDS)
def test_every_backend_is_created_as_the_protocol(module: str):
    functions = [node for node in ast.parse(find_source(module).read_text()).body if isinstance(node, ast.FunctionDef)]
    create = next(function for function in functions if function.name == "create_backend")

    assert create.returns is not None
    assert ast.unparse(create.returns) == "Backend"


@pytest.mark.covers("PROV-01", "ENG-07")
def test_type_checker_names_a_method_that_a_backend_lacks(tmp_path):
    source = find_source(BACKENDS["none"])
    broken = tmp_path / source.name
    broken.write_text(source.read_text().replace("async def forget", "async def forgive"))
    command = (sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--shadow-file")

    answer = subprocess.run(
        (*command, str(source), str(broken), str(source)), capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert answer.returncode == 1, answer.stderr
    assert re.search(r'"NoneBackend" is missing following "Backend" protocol member:\n.*forget', answer.stdout)
