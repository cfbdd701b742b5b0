"""Identifying processes, and waiting for their end."""

import os
import sys
from dataclasses import replace

import pytest

from services.provisioner.backends import process_supervisor
from services.provisioner.backends.exit_watcher import ExitWatcher
from services.provisioner.backends.process_identity import ProcessIdentity
from tests.waiting import eventually


async def test_process_with_another_start_time_or_boot_is_not_running():
    this = ProcessIdentity(
        pid=os.getpid(),
        start_ticks=process_supervisor.read_start_ticks(os.getpid()) or 0,
        boot_id=process_supervisor.read_boot_id(),
    )

    assert this.is_running()
    assert not replace(this, start_ticks=this.start_ticks + 1).is_running()
    assert not replace(this, boot_id="another").is_running()


async def test_child_that_ended_before_it_was_watched_is_returned_and_reaped():
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], {})
    child = ProcessIdentity(
        pid=pid, start_ticks=process_supervisor.read_process_state(pid)[1], boot_id=process_supervisor.read_boot_id()
    )
    await eventually(lambda: process_supervisor.read_process_state(pid)[0] == "Z")
    watcher = ExitWatcher()

    watcher.watch("the child", child)

    assert await watcher.wait_for_exit() == "the child"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
