"""The backend `process`: real supervisors and agent processes on this machine."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import stat
import sys
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from services.chassis.errors import InvalidArgument
from services.provisioner.backends import process_supervisor, workspace_directory
from services.provisioner.backends.base import BackendConfig
from services.provisioner.backends.process import DEFAULT_AGENT_COMMAND, ProcessBackend, create_backend, find_free_port
from services.provisioner.errors import FileAccessFailed, FileMissing, StartFailed
from services.provisioner.model import Credentials, FileRoot, Phase, Spec, WorkspaceId
from tests.provisioner import process_instances
from tests.provisioner.backend_files_suite import BackendFilesSuite
from tests.provisioner.backend_suite import BackendSuite, build_test_spec
from tests.provisioner.process_instances import SLEEPING, read_record
from tests.waiting import eventually

PYTHON = (sys.executable, "-u", "-S", "-c")

IGNORING_SIGTERM = (
    *PYTHON,
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)",
)

PRINTING_ENVIRONMENT = (
    *PYTHON,
    "import json, os, sys, time; print(json.dumps([sys.argv, dict(os.environ), os.getcwd()])); time.sleep(600)",
)

FORKING = (
    *PYTHON,
    "import os, time; child = os.fork()\nif child: print(child, flush=True)\ntime.sleep(600)",
)

WRITING_FOREVER = (*PYTHON, "import sys, time\nwhile True: sys.stdout.buffer.write(b'x' * 65536)")

WRITING_20_MB = (*PYTHON, "import sys; sys.stdout.buffer.write(b'x' * 20_000_000 + b'the end')")

FAILING = (*PYTHON, "import sys; print('so long'); sys.exit(3)")


@pytest.fixture
async def make_backend(tmp_path):
    """Create backends with one home, and stop every instance in it after the test."""

    def make(*command: str, stop_grace: float = 5, find_port: Callable[[], int] = find_free_port) -> ProcessBackend:
        return ProcessBackend(
            tmp_path, command or SLEEPING, stop_grace=timedelta(seconds=stop_grace), find_port=find_port
        )

    yield make
    for instance in await make().list():
        await make().stop(instance.workspace_id)


@pytest.fixture
def spec() -> Spec:
    return build_test_spec()


@pytest.mark.covers("ENG-06")
class TestProcessBackend(BackendSuite):
    @pytest.fixture
    def backend(self, make_backend):
        return make_backend()

    def read_credentials(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> Credentials:
        return process_instances.read_credentials(backend, workspace_id)

    async def append_output(self, backend: ProcessBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        process_instances.append_output(backend, workspace_id, text)

    def read_files(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        return process_instances.read_files(backend, workspace_id)

    async def end(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> None:
        process_instances.kill_agent(backend, workspace_id)


class TestFilesOfProcesses(BackendFilesSuite):
    @pytest.fixture
    def backend(self, make_backend):
        return make_backend()

    async def test_a_file_that_cannot_be_written_is_an_error_without_internal_text(self, backend, spec):
        await backend.start(spec)
        home = backend._root / spec.workspace_id / "home"
        home.rmdir()
        home.symlink_to("/")

        with pytest.raises(FileAccessFailed) as refused:
            await backend.write_files(spec.workspace_id, FileRoot.HOME, {("one",): "1"})
        assert str(backend._root) not in refused.value.message
        with pytest.raises(FileMissing):
            await backend.read_file(spec.workspace_id, FileRoot.HOME, ("etc", "passwd"))

    async def test_an_id_that_is_none_never_becomes_a_path(self, backend):
        with pytest.raises(InvalidArgument):
            await backend.read_file(WorkspaceId("../.."), FileRoot.HOME, ("one",))


def read_log(backend: ProcessBackend, workspace_id: WorkspaceId) -> str:
    path: Path = backend._root / workspace_id / "log" / "agent.log"
    return path.read_text() if path.exists() else ""


def process_exists(pid: int) -> bool:
    """Whether the process table has the pid, zombies included."""
    return Path(f"/proc/{pid}").exists()


def read_proc_file(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


async def test_killed_agent_is_noticed_reaped_and_recorded(make_backend, spec):
    backend = make_backend()
    await backend.start(spec)
    record = read_record(backend, spec.workspace_id)

    async with aclosing(backend.watch_exits()) as exits:
        exit_ = asyncio.ensure_future(anext(exits))
        os.kill(record.agent.pid, signal.SIGKILL)
        assert await asyncio.wait_for(exit_, 2) == spec.workspace_id

    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert (found.phase, found.exit_code) == (Phase.EXITED, -signal.SIGKILL)
    assert not process_exists(record.agent.pid)
    assert not process_exists(record.supervisor.pid)


async def test_agent_is_killed_with_its_supervisor(make_backend, spec):
    backend = make_backend()
    await backend.start(spec)
    record = read_record(backend, spec.workspace_id)

    async with aclosing(backend.watch_exits()) as exits:
        exit_ = asyncio.ensure_future(anext(exits))
        os.kill(record.supervisor.pid, signal.SIGKILL)
        assert await asyncio.wait_for(exit_, 2) == spec.workspace_id

    await eventually(lambda: not record.agent.is_running())
    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert found.phase is Phase.EXITED
    assert not process_exists(record.supervisor.pid)
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_agent_survives_its_provisioner_and_is_adopted(make_backend, spec):
    """The first provisioner is a separate process that is killed with SIGKILL."""
    backend = make_backend()
    script = (
        "import asyncio, os, signal, sys, pathlib\n"
        "from services.provisioner.backends.process import ProcessBackend\n"
        "from services.provisioner.model import Credentials, Spec\n"
        "backend = ProcessBackend(pathlib.Path(sys.argv[1]), sys.argv[3:])\n"
        "spec = Spec(workspace_id=sys.argv[2], generation=1, environment=(), credentials=Credentials('t', 's'))\n"
        "asyncio.run(backend.start(spec))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(backend._root.parent), spec.workspace_id, *SLEEPING
    )
    assert await first.wait() == -signal.SIGKILL

    adopted = await backend.get(spec.workspace_id)
    assert adopted is not None
    assert adopted.phase is Phase.RUNNING
    assert await backend.start(spec) == adopted
    async with aclosing(backend.watch_exits()) as exits:
        exit_ = asyncio.ensure_future(anext(exits))
        os.kill(read_record(backend, spec.workspace_id).agent.pid, signal.SIGKILL)
        assert await asyncio.wait_for(exit_, 2) == spec.workspace_id


async def test_new_backend_object_finds_running_agents(make_backend, spec):
    started = await make_backend().start(spec)

    assert await make_backend().get(spec.workspace_id) == started


async def test_agent_that_ignores_sigterm_is_killed(make_backend, spec):
    backend = make_backend(*IGNORING_SIGTERM, stop_grace=0.2)
    await backend.start(spec)
    await eventually(lambda: "ready" in read_log(backend, spec.workspace_id))
    record = read_record(backend, spec.workspace_id)

    await backend.stop(spec.workspace_id)

    assert not process_exists(record.agent.pid)
    assert not process_exists(record.supervisor.pid)


@pytest.mark.parametrize("victim", ["agent", "supervisor", "none"])
async def test_children_of_an_agent_end_with_it(make_backend, spec, victim):
    backend = make_backend(*FORKING)
    await backend.start(spec)
    child = int(await eventually(lambda: read_log(backend, spec.workspace_id)))
    record = read_record(backend, spec.workspace_id)

    if victim != "none":
        os.kill(getattr(record, victim).pid, signal.SIGKILL)
    if victim != "agent":
        await backend.stop(spec.workspace_id)

    await eventually(lambda: process_supervisor.read_start_ticks(child) is None)


async def test_process_that_reuses_the_pid_is_never_signalled(make_backend, spec):
    """The record of an ended instance contains a pid that now belongs to the test process."""
    backend = make_backend()
    await backend.start(spec)
    await backend.stop(spec.workspace_id)
    path = backend._root / spec.workspace_id / "instance.json"
    record = json.loads(path.read_text())
    for role in ("keeper", "agent"):
        record[role] = {"pid": os.getpid(), "started": (process_supervisor.read_start_ticks(os.getpid()) or 0) - 1}
    path.write_text(json.dumps(record | {"exit": None}))

    found = await backend.get(spec.workspace_id)
    await backend.stop(spec.workspace_id)

    assert found is not None
    assert found.phase is Phase.EXITED


async def test_record_of_an_earlier_boot_counts_as_exited(make_backend, spec):
    backend = make_backend()
    await backend.start(spec)
    path = backend._root / spec.workspace_id / "instance.json"
    record = json.loads(path.read_text())

    path.write_text(json.dumps(record | {"boot": str(uuid.uuid4())}))
    found = await backend.get(spec.workspace_id)
    path.write_text(json.dumps(record))

    assert found is not None
    assert found.phase is Phase.EXITED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"generation": 1}', "null"])
async def test_invalid_record_counts_as_exited(make_backend, spec, content):
    backend = make_backend()
    workspace_directory.find_directory(backend._root, spec.workspace_id).create()
    (backend._root / spec.workspace_id / "instance.json").write_text(content)

    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert found.phase is Phase.EXITED
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_stop_finds_what_a_cancelled_start_left_behind(make_backend, spec):
    backend = make_backend()
    lock = backend._root / spec.workspace_id / "keeper.lock"
    starting = asyncio.ensure_future(backend.start(spec))
    await asyncio.sleep(0)  # lets it run until it waits for the supervisor

    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await backend.stop(spec.workspace_id)

    assert starting.cancelled()
    assert read_record(backend, spec.workspace_id).exit_code == -signal.SIGTERM
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("forged", ["a pipe", "a link", "a directory", "a long file", "numbers beyond reach"])
async def test_forged_record_does_not_affect_other_workspaces(make_backend, spec, forged):
    backend, other = make_backend(), build_test_spec()
    started = await backend.start(other)
    workspace_directory.find_directory(backend._root, spec.workspace_id).create()
    path = backend._root / spec.workspace_id / "instance.json"
    match forged:
        case "a pipe":
            os.mkfifo(path)
        case "a link":
            path.symlink_to(backend._root / other.workspace_id / "instance.json")
        case "a directory":
            path.mkdir()
        case "a long file":
            path.write_text("[" * 1_000_000)
        case "numbers beyond reach":
            no_process = {"pid": 2**70, "started": 1}
            path.write_text(
                json.dumps(
                    {"generation": 1, "port": 1, "boot": "", "keeper": no_process, "agent": no_process, "exit": None}
                )
            )

    assert [instance.phase for instance in await backend.list() if instance != started] == [Phase.EXITED]
    await backend.stop(spec.workspace_id)
    await backend.forget(spec.workspace_id)
    assert list(await backend.list()) == [started]


async def test_directory_has_at_most_one_supervisor(make_backend, spec):
    """The record is missing, so a second provisioner does not see the instance of the first."""
    backend = make_backend()
    await backend.start(spec)
    path = backend._root / spec.workspace_id / "instance.json"
    record = path.read_text()
    path.unlink()

    with pytest.raises(Exception, match="the backend cannot be reached"):
        await make_backend().start(spec)

    path.write_text(record)
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_agent_environment_is_exactly_that_of_the_instance_contract(make_backend, spec):
    backend = make_backend(*PRINTING_ENVIRONMENT)
    started = await backend.start(spec)
    root = backend._root / spec.workspace_id

    _, environment, working_directory = json.loads(await eventually(lambda: read_log(backend, spec.workspace_id)))

    environment.pop("LC_CTYPE", None)
    assert environment == {
        "WORKSPACE_ID": "some-workspace",
        "HOST": "127.0.0.1",
        "PORT": started.address.rpartition(":")[2],
        "MOLECULE_ROOT": str(root),
        "HOME": str(root / "home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
    assert working_directory == str(root / "workspace")


async def test_credentials_are_in_one_private_file_each_and_nowhere_else(make_backend, spec):
    backend = make_backend(*PRINTING_ENVIRONMENT)
    await backend.start(replace(spec, credentials=Credentials("a-very-secret-token", "a-very-secret-secret")))
    await eventually(lambda: read_log(backend, spec.workspace_id))
    record = read_record(backend, spec.workspace_id)
    root = backend._root / spec.workspace_id

    for pid in (record.supervisor.pid, record.agent.pid):
        for name in ("cmdline", "environ"):
            assert "very-secret" not in read_proc_file(pid, name)
    containing = {path.name for path in root.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()}
    assert containing == {".auth_token", ".platform_inbound_secret"}
    for name in containing:
        assert stat.S_IMODE((root / "configs" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


async def test_credentials_are_not_written_through_a_link(make_backend, spec, tmp_path):
    backend = make_backend()
    await backend.start(spec)
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    token = backend._root / spec.workspace_id / "configs" / ".auth_token"
    token.unlink()
    token.symlink_to(outside)

    await backend.start(spec)

    assert outside.read_text() == "untouched"
    assert token.read_text() == "token-1"


async def test_log_is_rotated_at_its_size_limit(make_backend, spec):
    backend = make_backend(*WRITING_20_MB)
    await backend.start(spec)
    log = backend._root / spec.workspace_id / "log"

    await eventually(lambda: read_record(backend, spec.workspace_id).exit_code == 0)

    assert sorted(path.name for path in log.iterdir()) == ["agent.log", "agent.log.1"]
    assert sum(path.stat().st_size for path in log.iterdir()) == 20_000_007
    assert (log / "agent.log").read_bytes().endswith(b"the end")


async def test_agent_that_never_stops_writing_is_stopped_quickly(make_backend, spec):
    backend = make_backend(*WRITING_FOREVER, stop_grace=60)
    await backend.start(spec)
    await eventually((backend._root / spec.workspace_id / "log" / "agent.log.1").exists)

    async with asyncio.timeout(2):
        await backend.stop(spec.workspace_id)


async def test_exit_code_and_last_output_are_recorded(make_backend, spec):
    backend = make_backend(*FAILING)
    await backend.start(spec)

    await eventually(lambda: read_record(backend, spec.workspace_id).exit_code == 3)

    assert read_log(backend, spec.workspace_id) == "so long\n"


async def test_command_that_cannot_be_executed_is_refused(make_backend, spec):
    with pytest.raises(StartFailed):
        await make_backend("/nowhere/to/be/found").start(spec)


async def test_home_that_cannot_be_written_is_a_failed_start(tmp_path, spec):
    (tmp_path / "workspaces").write_text("a file, where a directory is needed")

    with pytest.raises(StartFailed):
        await ProcessBackend(tmp_path).start(spec)


@pytest.mark.parametrize("name", ["../../etc", "", "a/b", "5F0C2C1E-3C55-4B3A-9D43-9F7A3D1F0001", "{}"])
async def test_malformed_workspace_id_is_refused(make_backend, name):
    backend = make_backend()

    for ask in (backend.get, backend.stop, backend.forget):
        with pytest.raises(InvalidArgument):
            await ask(WorkspaceId(name))


async def test_other_directory_entries_are_not_listed(make_backend, tmp_path, spec):
    backend = make_backend()
    await backend.start(spec)
    (backend._root / "lost+found").mkdir()
    (backend._root / str(uuid.uuid4())).symlink_to(tmp_path)
    (backend._root / str(uuid.uuid4())).write_text("")

    assert [instance.workspace_id for instance in await backend.list()] == [spec.workspace_id]


async def test_port_that_is_offered_twice_is_assigned_once(make_backend):
    first, second = find_free_port(), find_free_port()
    offers = iter((first, first, second))
    backend = make_backend(find_port=lambda: next(offers))

    started = await asyncio.gather(backend.start(build_test_spec()), backend.start(build_test_spec()))

    assert sorted(instance.address for instance in started) == sorted(
        f"http://127.0.0.1:{port}" for port in (first, second)
    )


async def test_twenty_instances_start_concurrently(make_backend):
    backend = make_backend()
    specs = [build_test_spec() for _ in range(20)]

    started = await asyncio.gather(*(backend.start(spec) for spec in specs))

    assert len({instance.address for instance in started}) == 20
    assert {instance.phase for instance in await backend.list()} == {Phase.RUNNING}
    await asyncio.gather(*(backend.stop(spec.workspace_id) for spec in specs))
    assert {instance.phase for instance in await backend.list()} == {Phase.EXITED}


async def test_supervisor_needs_little_memory(make_backend, spec):
    backend = make_backend()
    await backend.start(spec)

    status = read_proc_file(read_record(backend, spec.workspace_id).supervisor.pid, "status")

    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 15 * 1024


async def test_built_in_agent_does_not_import_from_its_working_directory(make_backend, spec):
    """A file in the agent's working directory must not replace a module of the standard library."""
    backend = make_backend(*DEFAULT_AGENT_COMMAND)
    contract = (("WORKSPACE_ID", spec.workspace_id), ("PLATFORM_URL", "http://127.0.0.1:9"))
    directory = workspace_directory.find_directory(backend._root, spec.workspace_id)
    directory.create()
    (directory.path / "workspace" / "json.py").write_text("raise SystemExit('imported from the working directory')")

    started = await backend.start(replace(spec, environment=contract))

    async with httpx.AsyncClient(base_url=started.address, trust_env=False) as agent:

        async def healthy() -> bool:
            with contextlib.suppress(httpx.ConnectError):
                return (await agent.get("/health")).status_code == 200
            return False

        await eventually(healthy, within=20)
    assert "workspace" in read_log(backend, spec.workspace_id)
    assert "token-1" not in read_log(backend, spec.workspace_id)


def test_built_in_agent_is_the_default_command(tmp_path):
    assert create_backend(BackendConfig(tmp_path))._command == DEFAULT_AGENT_COMMAND
    assert create_backend(BackendConfig(tmp_path, SLEEPING))._command == SLEEPING


async def test_command_of_the_spec_replaces_that_of_the_backend(make_backend, spec):
    backend = make_backend(*SLEEPING)
    await backend.start(replace(spec, command=(*PYTHON, "print('the command of a template')")))

    async def has_printed() -> bool:
        tail = await backend.read_logs(spec.workspace_id, 5)
        return tail is not None and "the command of a template" in tail.output

    await eventually(has_printed)
