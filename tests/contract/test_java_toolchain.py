import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def java_test(tmp_path) -> Path:
    path = tmp_path / "test_java.py"
    path.write_text("import pytest\n@pytest.mark.java\ndef test_it(): pass\ndef test_other(): pass\n")
    return path


def run(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "pytest", "-p", "tests.java_toolchain", "-c", ROOT / "pyproject.toml", path)
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": "", **environment}, capture_output=True, text=True, check=False
    )


def test_without_java_its_tests_are_skipped_with_a_warning(java_test):
    result = run(java_test)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "NO JAVA: 1 tests that need it were SKIPPED" in result.stdout
    assert "1 passed, 1 skipped" in result.stdout


def test_with_a_required_java_a_skipped_test_is_a_failure(java_test):
    result = run(java_test, MOLECULE_REQUIRE_JAVA="1")

    assert result.returncode == 1
    assert "MOLECULE_REQUIRE_JAVA=1, and there is no JDK 17 with Maven" in result.stdout


def test_ci_installs_and_requires_java():
    script = (ROOT / ".ci" / "run").read_text()

    assert "apt_install openjdk-17-jdk-headless maven" in script
    assert "MOLECULE_REQUIRE_JAVA=1" in script
