import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nginx_test(tmp_path) -> Path:
    path = tmp_path / "test_nginx.py"
    path.write_text("import pytest\n@pytest.mark.nginx\ndef test_it(): pass\ndef test_other(): pass\n")
    return path


def run(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "pytest", "-p", "tests.nginx_binary", "-c", ROOT / "pyproject.toml", path)
    nowhere = {"PATH": "", "MOLECULE_NGINX": "no-nginx"}
    return subprocess.run(
        command, cwd=ROOT, env={**nowhere, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.covers("EDGE-09")
def test_without_nginx_its_tests_are_skipped_with_a_warning(nginx_test):
    result = run(nginx_test)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "NO NGINX: 1 tests that need it were SKIPPED" in result.stdout
    assert "1 passed, 1 skipped" in result.stdout


@pytest.mark.covers("EDGE-09")
def test_with_a_required_nginx_a_skipped_test_is_a_failure(nginx_test):
    result = run(nginx_test, MOLECULE_REQUIRE_NGINX="1")

    assert result.returncode == 1
    assert "MOLECULE_REQUIRE_NGINX=1, and there is no nginx" in result.stdout


@pytest.mark.covers("EDGE-09")
def test_ci_installs_and_requires_nginx():
    script = (ROOT / ".ci" / "run").read_text()

    assert "apt_install nginx" in script
    assert "MOLECULE_REQUIRE_NGINX=1" in script
