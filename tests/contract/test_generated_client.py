"""A client that a generator makes of the OpenAPI document has every operation and can be imported."""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from gateway import documentation
from tests.environments import create_environment
from tests.gateway.all_routes import declare_routes

REQUIREMENTS = Path(__file__).parent / "generated_client" / "requirements_openapi_client.txt"


@pytest.mark.covers("DOC-03")
@pytest.mark.timeout(300)
async def test_a_generated_client_has_every_operation(tmp_path):
    async with declare_routes() as routes:
        document = documentation.build_document(routes)
    path, client = tmp_path / "openapi.json", tmp_path / "client"
    path.write_text(json.dumps(document))
    python = create_environment(REQUIREMENTS)

    generated = subprocess.run(
        [
            python,
            "-m",
            "openapi_python_client",
            "generate",
            "--path",
            path,
            "--output-path",
            client,
            "--fail-on-warning",
        ],
        env={**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert generated.returncode == 0, generated.stdout + generated.stderr
    operations = {
        operation["operationId"] for operations in document["paths"].values() for operation in operations.values()
    }
    modules = {module.stem for module in client.glob("*/api/*/*.py")} - {"__init__"}
    assert len(modules) == len(operations)
    for module in client.rglob("*.py"):
        ast.parse(module.read_text())
