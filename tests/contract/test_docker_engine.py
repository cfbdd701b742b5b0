import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def docker_test(tmp_path) -> Path:
    path = tmp_path / "test_docker.py"
    path.write_text("import pytest\n@pytest.mark.docker\ndef test_it(): pass\ndef test_other(): pass\n")
    return path


def run(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.docker_engine",
        "-c",
        str(ROOT / "pyproject.toml"),
        str(path),
    ]
    nowhere = {"PATH": "", "DOCKER_HOST": "unix:///nowhere"}
    return subprocess.run(
        command, cwd=ROOT, env={**nowhere, **environment}, capture_output=True, text=True, check=False
    )


def test_without_an_engine_docker_tests_are_skipped_with_a_warning(docker_test):
    result = run(docker_test)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "NO DOCKER ENGINE: 1 tests that need one were SKIPPED" in result.stdout
    assert "1 passed, 1 skipped" in result.stdout


def test_with_a_required_engine_a_skipped_docker_test_is_a_failure(docker_test):
    result = run(docker_test, MOLECULE_REQUIRE_DOCKER="1")

    assert result.returncode == 1
    assert "MOLECULE_REQUIRE_DOCKER=1, and no Docker Engine answers" in result.stdout
