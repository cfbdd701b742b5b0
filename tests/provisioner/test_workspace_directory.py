"""The instance record on disk. Its format must not change, because instances survive an upgrade of the plane."""

import json
import os
import uuid

import pytest

from services.provisioner.backends import process_supervisor
from services.provisioner.backends.process_identity import ProcessIdentity
from services.provisioner.backends.workspace_directory import (
    MAX_PID,
    InstanceRecord,
    WorkspaceDirectory,
    find_directory,
    list_directories,
)

RECORD = {
    "generation": 3,
    "port": 40001,
    "boot": "an-earlier-boot",
    "keeper": {"pid": 41, "started": 1001},
    "agent": {"pid": 42, "started": 1002},
    "exit": None,
}


@pytest.fixture
def directory(tmp_path) -> WorkspaceDirectory:
    directory = WorkspaceDirectory(tmp_path / str(uuid.uuid4()))
    directory.create()
    return directory


def write_record(directory, **changes) -> None:
    (directory.path / "instance.json").write_text(json.dumps(RECORD | changes))


def test_record_of_an_earlier_release_is_readable(directory):
    write_record(directory)

    assert directory.read_record() == InstanceRecord(
        generation=3,
        port=40001,
        supervisor=ProcessIdentity(pid=41, start_ticks=1001, boot_id="an-earlier-boot"),
        agent=ProcessIdentity(pid=42, start_ticks=1002, boot_id="an-earlier-boot"),
        exit_code=None,
    )


@pytest.mark.parametrize("exit_code", [0, 3, -9])
def test_exit_code_is_read(directory, exit_code):
    write_record(directory, exit=exit_code)

    assert directory.read_record().exit_code == exit_code


@pytest.mark.parametrize(("pid", "is_valid"), [(0, False), (1, True), (MAX_PID, True), (MAX_PID + 1, False)])
def test_record_with_an_impossible_pid_is_invalid(directory, pid, is_valid):
    write_record(directory, agent={"pid": pid, "started": 1})

    assert (directory.read_record() is not None) == is_valid


def test_instance_runs_while_supervisor_and_agent_run_and_no_exit_is_recorded(directory):
    own = {"pid": os.getpid(), "started": process_supervisor.read_start_ticks(os.getpid())}
    ended = {"pid": os.getpid(), "started": own["started"] + 1}
    boot_id = process_supervisor.read_boot_id()

    def is_running(**changes) -> bool:
        write_record(directory, **{"boot": boot_id, "keeper": own, "agent": own} | changes)
        return directory.read_record().is_running()

    assert is_running()
    assert not is_running(keeper=ended)
    assert not is_running(agent=ended)
    assert not is_running(exit=0)


def test_directories_are_found_by_id_and_listed(directory):
    root = directory.path.parent
    (root / "lost+found").mkdir()

    assert find_directory(root, directory.workspace_id).path == directory.path
    assert [found.path for found in list_directories(root)] == [directory.path]
    assert list(list_directories(root / "missing")) == []
