"""Identifying processes, and waiting for their end."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from services.provisioner.backends import process_identity, process_supervisor
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


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
    yield identify(process.pid)
    process.kill()
    process.wait()


def identify(pid):
    return ProcessIdentity(
        pid=pid, start_ticks=process_supervisor.read_process_state(pid)[1], boot_id=process_supervisor.read_boot_id()
    )


REFUSALS = [errno.EINVAL, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENODEV, errno.EPERM]


@pytest.fixture(params=REFUSALS, ids=errno.errorcode.get)
def kernel_without_pidfds(monkeypatch, request):
    """A kernel that gives no pidfd, for one of the reasons that Linux has."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.covers("DWN-12")
async def test_a_pid_that_belongs_to_a_thread_now_is_the_pid_of_a_process_that_ended():
    started, ending = threading.Event(), threading.Event()

    def run():
        started.set()
        ending.wait()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    former = ProcessIdentity(pid=thread.native_id, start_ticks=1, boot_id=process_supervisor.read_boot_id())
    watcher = ExitWatcher()
    try:
        watcher.watch("former", former)

        assert await asyncio.wait_for(watcher.wait_for_exit(), 5) == "former"
        assert await process_identity.kill(former, timeout=timedelta(seconds=1))
        assert thread.is_alive()
    finally:
        ending.set()
        thread.join()
        watcher.close()


@pytest.mark.covers("DWN-12")
async def test_the_end_of_a_process_is_noticed_without_a_pidfd(kernel_without_pidfds, child):
    watcher = ExitWatcher(poll_interval=timedelta(milliseconds=10))
    try:
        watcher.watch("the child", child)
        waiting = asyncio.ensure_future(watcher.wait_for_exit())
        await asyncio.sleep(0)
        assert not waiting.done()

        os.kill(child.pid, signal.SIGKILL)

        assert await asyncio.wait_for(waiting, 5) == "the child"
    finally:
        watcher.close()


@pytest.mark.covers("DWN-12")
async def test_a_process_is_terminated_without_a_pidfd(kernel_without_pidfds, child):
    assert await process_identity.terminate(child, timeout=timedelta(seconds=5))
    assert not child.is_running()


@pytest.mark.covers("DWN-12")
async def test_another_process_with_the_same_pid_is_not_signalled_without_a_pidfd(kernel_without_pidfds, child):
    former = replace(child, start_ticks=child.start_ticks - 1)

    assert await process_identity.kill(former, timeout=timedelta(seconds=1))
    assert child.is_running()


@pytest.mark.covers("DWN-12")
async def test_processes_that_had_the_same_pid_are_watched_both(child):
    watcher = ExitWatcher()
    try:
        watcher.watch("the child", child)
        watcher.watch("former", replace(child, start_ticks=child.start_ticks - 1))

        assert await asyncio.wait_for(watcher.wait_for_exit(), 5) == "former"
        os.kill(child.pid, signal.SIGKILL)
        assert await asyncio.wait_for(watcher.wait_for_exit(), 5) == "the child"
    finally:
        watcher.close()
