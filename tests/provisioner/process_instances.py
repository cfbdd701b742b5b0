"""Reads and changes instances of the backend `process` from outside, as their agents would."""

import os
import signal
import sys
from pathlib import Path

from services.provisioner.backends import config_files, workspace_directory
from services.provisioner.backends.process import ProcessBackend
from services.provisioner.model import Credentials, WorkspaceId

SLEEPING = (sys.executable, "-u", "-S", "-c", "import time; time.sleep(600)")


def read_record(backend: ProcessBackend, workspace_id: WorkspaceId) -> workspace_directory.InstanceRecord:
    record = find_directory(backend, workspace_id).read_record()
    assert record is not None
    return record


def read_credentials(backend: ProcessBackend, workspace_id: WorkspaceId) -> Credentials:
    configs = find_directory(backend, workspace_id).path / "configs"
    return Credentials((configs / ".auth_token").read_text(), (configs / ".platform_inbound_secret").read_text())


def read_files(backend: ProcessBackend, workspace_id: WorkspaceId) -> dict[str, str]:
    """Return the files below /configs, without the credentials and the digest."""
    configs = find_directory(backend, workspace_id).path / "configs"
    found = {str(path.relative_to(configs)): path.read_text() for path in configs.rglob("*") if path.is_file()}
    others = {".auth_token", ".platform_inbound_secret", config_files.DIGEST_FILE}
    return {path: text for path, text in found.items() if path not in others}


def append_output(backend: ProcessBackend, workspace_id: WorkspaceId, text: bytes) -> None:
    with find_log(backend, workspace_id).open("ab") as log:
        log.write(text)


def find_log(backend: ProcessBackend, workspace_id: WorkspaceId) -> Path:
    return find_directory(backend, workspace_id).path / "log" / "agent.log"


def kill_agent(backend: ProcessBackend, workspace_id: WorkspaceId) -> None:
    os.kill(read_record(backend, workspace_id).agent.pid, signal.SIGKILL)


def find_directory(backend: ProcessBackend, workspace_id: WorkspaceId) -> workspace_directory.WorkspaceDirectory:
    return workspace_directory.find_directory(backend._root, workspace_id)
