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
from services.provisioner.backends import folder, furnishing, keeper, lives
from services.provisioner.backends.base import Site
from services.provisioner.backends.process import AGENT, ProcessBackend, free_port, make
from services.provisioner.errors import StartFailed
from services.provisioner.model import Credentials, Phase, Spec, WorkspaceId
from tests.provisioner.backend_suite import BackendSuite, spec_of
from tests.waiting import eventually

PYTHON = (sys.executable, "-u", "-S", "-c")

OBEDIENT = (*PYTHON, "import time; time.sleep(600)")

DEAF = (*PYTHON, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)")

TELLING = (
    *PYTHON,
    "import json, os, sys, time; print(json.dumps([sys.argv, dict(os.environ), os.getcwd()])); time.sleep(600)",
)

PARENT = (
    *PYTHON,
    "import os, time; child = os.fork()\nif child: print(child, flush=True)\ntime.sleep(600)",
)

RAVING = (*PYTHON, "import sys, time\nwhile True: sys.stdout.buffer.write(b'x' * 65536)")

SHOUTING = (*PYTHON, "import sys; sys.stdout.buffer.write(b'x' * 20_000_000 + b'the end')")

FAILING = (*PYTHON, "import sys; print('so long'); sys.exit(3)")


@pytest.fixture
async def hired(tmp_path):
    """Makes backends on one home, and stops what is left running in it."""
    made = []

    def hire(*command: str, grace: float = 5, offered: Callable[[], int] = free_port) -> ProcessBackend:
        made.append(ProcessBackend(tmp_path, command or OBEDIENT, grace=timedelta(seconds=grace), offered=offered))
        return made[-1]

    yield hire
    for instance in await hire().list():
        await hire().stop(instance.workspace_id)


@pytest.fixture
def spec() -> Spec:
    return spec_of()


@pytest.mark.covers("ENG-06")
class TestProcessBackend(BackendSuite):
    @pytest.fixture
    def backend(self, hired):
        return hired()

    def handed_over(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> Credentials:
        configs = backend._root / workspace_id / "configs"
        return Credentials((configs / ".auth_token").read_text(), (configs / ".platform_inbound_secret").read_text())

    def write(self, backend: ProcessBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        with (backend._root / workspace_id / "log" / "agent.log").open("ab") as log:
            log.write(text)

    def files_of(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        configs = backend._root / workspace_id / "configs"
        found = {str(path.relative_to(configs)): path.read_text() for path in configs.rglob("*") if path.is_file()}
        taken = {".auth_token", ".platform_inbound_secret", furnishing.KIT}
        return {path: text for path, text in found.items() if path not in taken}

    async def end(self, backend: ProcessBackend, workspace_id: WorkspaceId) -> None:
        os.kill(record_of(backend, workspace_id).agent.pid, signal.SIGKILL)


def record_of(backend: ProcessBackend, workspace_id: WorkspaceId) -> folder.Record:
    record = folder.of(backend._root, workspace_id).record()
    assert record is not None
    return record


def log_of(backend: ProcessBackend, workspace_id: WorkspaceId) -> str:
    path: Path = backend._root / workspace_id / "log" / "agent.log"
    return path.read_text() if path.exists() else ""


def there(pid: int) -> bool:
    """Whether the process table still has the number, zombies included."""
    return Path(f"/proc/{pid}").exists()


def told_of(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()


async def test_a_killed_agent_is_noticed_reaped_and_recorded(hired, spec):
    backend = hired()
    await backend.start(spec)
    record = record_of(backend, spec.workspace_id)

    async with aclosing(backend.exits()) as exits:
        notice = asyncio.ensure_future(anext(exits))
        os.kill(record.agent.pid, signal.SIGKILL)
        assert await asyncio.wait_for(notice, 2) == spec.workspace_id

    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert (found.phase, found.exit_code) == (Phase.EXITED, -signal.SIGKILL)
    assert not there(record.agent.pid)
    assert not there(record.keeper.pid)


async def test_an_agent_dies_with_its_keeper(hired, spec):
    backend = hired()
    await backend.start(spec)
    record = record_of(backend, spec.workspace_id)

    async with aclosing(backend.exits()) as exits:
        notice = asyncio.ensure_future(anext(exits))
        os.kill(record.keeper.pid, signal.SIGKILL)
        assert await asyncio.wait_for(notice, 2) == spec.workspace_id

    await eventually(lambda: not record.agent.lasts())
    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert found.phase is Phase.EXITED
    assert not there(record.keeper.pid)
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_an_agent_survives_its_provisioner_and_is_adopted(hired, spec):
    """The first provisioner is a process of its own, killed without a chance to say goodbye."""
    backend = hired()
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
        sys.executable, "-c", script, str(backend._root.parent), spec.workspace_id, *OBEDIENT
    )
    assert await first.wait() == -signal.SIGKILL

    adopted = await backend.get(spec.workspace_id)
    assert adopted is not None
    assert adopted.phase is Phase.RUNNING
    assert await backend.start(spec) == adopted
    async with aclosing(backend.exits()) as exits:
        notice = asyncio.ensure_future(anext(exits))
        os.kill(record_of(backend, spec.workspace_id).agent.pid, signal.SIGKILL)
        assert await asyncio.wait_for(notice, 2) == spec.workspace_id


async def test_a_backend_that_is_dropped_leaves_its_agents_running(hired, spec):
    made = await hired().start(spec)

    assert await hired().get(spec.workspace_id) == made


async def test_an_agent_that_ignores_the_request_to_end_is_killed(hired, spec):
    backend = hired(*DEAF, grace=0.2)
    await backend.start(spec)
    await eventually(lambda: "deaf" in log_of(backend, spec.workspace_id))
    record = record_of(backend, spec.workspace_id)

    await backend.stop(spec.workspace_id)

    assert not there(record.agent.pid)
    assert not there(record.keeper.pid)


@pytest.mark.parametrize("victim", ["agent", "keeper", "none"])
async def test_children_of_an_agent_go_with_it(hired, spec, victim):
    backend = hired(*PARENT)
    await backend.start(spec)
    child = int(await eventually(lambda: log_of(backend, spec.workspace_id)))
    record = record_of(backend, spec.workspace_id)

    if victim != "none":
        os.kill(getattr(record, victim).pid, signal.SIGKILL)
    if victim != "agent":
        await backend.stop(spec.workspace_id)

    await eventually(lambda: keeper.started(child) is None)


async def test_a_process_that_inherited_the_number_is_never_signalled(hired, spec):
    """The record of a dead instance names a pid that by now belongs to a stranger: to us."""
    backend = hired()
    await backend.start(spec)
    await backend.stop(spec.workspace_id)
    path = backend._root / spec.workspace_id / "instance.json"
    written = json.loads(path.read_text())
    for role in ("keeper", "agent"):
        written[role] = {"pid": os.getpid(), "started": (keeper.started(os.getpid()) or 0) - 1}
    path.write_text(json.dumps(written | {"exit": None}))

    found = await backend.get(spec.workspace_id)
    await backend.stop(spec.workspace_id)

    assert found is not None
    assert found.phase is Phase.EXITED


async def test_a_record_of_an_earlier_boot_is_of_a_dead_instance(hired, spec):
    backend = hired()
    await backend.start(spec)
    path = backend._root / spec.workspace_id / "instance.json"
    written = json.loads(path.read_text())

    path.write_text(json.dumps(written | {"boot": str(uuid.uuid4())}))
    found = await backend.get(spec.workspace_id)
    path.write_text(json.dumps(written))

    assert found is not None
    assert found.phase is Phase.EXITED


@pytest.mark.parametrize("left", ["", "{", "[]", '{"generation": 1}', "null"])
async def test_a_half_written_record_is_an_instance_that_ended(hired, spec, left):
    backend = hired()
    folder.of(backend._root, spec.workspace_id).make()
    (backend._root / spec.workspace_id / "instance.json").write_text(left)

    found = await backend.get(spec.workspace_id)
    assert found is not None
    assert found.phase is Phase.EXITED
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_a_start_that_is_given_up_half_way_leaves_nothing_that_a_stop_does_not_find(hired, spec):
    backend = hired()
    lock = backend._root / spec.workspace_id / "keeper.lock"
    starting = asyncio.ensure_future(backend.start(spec))
    await asyncio.sleep(0)  # its turn: up to where it waits for the keeper

    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await backend.stop(spec.workspace_id)

    assert starting.cancelled()
    assert record_of(backend, spec.workspace_id).exit_code == -signal.SIGTERM
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("forged", ["a pipe", "a link", "a directory", "a long file", "numbers beyond reach"])
async def test_whatever_an_agent_puts_in_place_of_the_record_disturbs_nobody_else(hired, spec, forged):
    backend, other = hired(), spec_of()
    made = await backend.start(other)
    folder.of(backend._root, spec.workspace_id).make()
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
            nobody = {"pid": 2**70, "started": 1}
            path.write_text(
                json.dumps({"generation": 1, "port": 1, "boot": "", "keeper": nobody, "agent": nobody, "exit": None})
            )

    assert [instance.phase for instance in await backend.list() if instance != made] == [Phase.EXITED]
    await backend.stop(spec.workspace_id)
    await backend.forget(spec.workspace_id)
    assert list(await backend.list()) == [made]


async def test_a_directory_has_one_keeper_at_most(hired, spec):
    """Two provisioners that know nothing of each other, and a record that hides the first one's instance."""
    backend = hired()
    await backend.start(spec)
    path = backend._root / spec.workspace_id / "instance.json"
    kept = path.read_text()
    path.unlink()

    with pytest.raises(Exception, match="the backend cannot be reached"):
        await hired().start(spec)

    path.write_text(kept)
    assert (await backend.start(spec)).phase is Phase.RUNNING


async def test_an_agent_sees_what_the_contract_says_and_nothing_of_the_plane(hired, spec):
    backend = hired(*TELLING)
    made = await backend.start(spec)
    root = backend._root / spec.workspace_id

    _, environment, working_directory = json.loads(await eventually(lambda: log_of(backend, spec.workspace_id)))

    environment.pop("LC_CTYPE", None)
    assert environment == {
        "WORKSPACE_ID": "whoever",
        "HOST": "127.0.0.1",
        "PORT": made.address.rpartition(":")[2],
        "MOLECULE_ROOT": str(root),
        "HOME": str(root / "home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
    assert working_directory == str(root / "workspace")


async def test_the_token_is_in_one_file_for_one_reader_and_nowhere_else(hired, spec):
    backend = hired(*TELLING)
    await backend.start(replace(spec, credentials=Credentials("a-very-secret-token", "a-very-secret-secret")))
    await eventually(lambda: log_of(backend, spec.workspace_id))
    record = record_of(backend, spec.workspace_id)
    root = backend._root / spec.workspace_id

    for pid in (record.keeper.pid, record.agent.pid):
        for name in ("cmdline", "environ"):
            assert "very-secret" not in told_of(pid, name)
    holding = {path.name for path in root.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()}
    assert holding == {".auth_token", ".platform_inbound_secret"}
    for name in holding:
        assert stat.S_IMODE((root / "configs" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


async def test_credentials_are_not_written_through_a_link_that_an_agent_laid(hired, spec, tmp_path):
    backend = hired()
    await backend.start(spec)
    precious = tmp_path / "precious"
    precious.write_text("untouched")
    token = backend._root / spec.workspace_id / "configs" / ".auth_token"
    token.unlink()
    token.symlink_to(precious)

    await backend.start(spec)

    assert precious.read_text() == "untouched"
    assert token.read_text() == "token-1"


async def test_output_is_kept_and_put_aside_at_its_limit(hired, spec):
    backend = hired(*SHOUTING)
    await backend.start(spec)
    log = backend._root / spec.workspace_id / "log"

    await eventually(lambda: record_of(backend, spec.workspace_id).exit_code == 0)

    assert sorted(path.name for path in log.iterdir()) == ["agent.log", "agent.log.1"]
    assert sum(path.stat().st_size for path in log.iterdir()) == 20_000_007
    assert (log / "agent.log").read_bytes().endswith(b"the end")


async def test_an_agent_that_never_stops_writing_is_stopped_as_quickly(hired, spec):
    backend = hired(*RAVING, grace=60)
    await backend.start(spec)
    await eventually((backend._root / spec.workspace_id / "log" / "agent.log.1").exists)

    async with asyncio.timeout(2):
        await backend.stop(spec.workspace_id)


async def test_how_an_agent_ended_is_recorded_with_its_last_words(hired, spec):
    backend = hired(*FAILING)
    await backend.start(spec)

    await eventually(lambda: record_of(backend, spec.workspace_id).exit_code == 3)

    assert log_of(backend, spec.workspace_id) == "so long\n"


async def test_an_agent_that_is_no_program_is_refused_at_once(hired, spec):
    with pytest.raises(StartFailed):
        await hired("/nowhere/to/be/found").start(spec)


async def test_a_home_that_cannot_be_written_is_a_failed_start(tmp_path, spec):
    (tmp_path / "workspaces").write_text("a file, where a directory is needed")

    with pytest.raises(StartFailed):
        await ProcessBackend(tmp_path).start(spec)


@pytest.mark.parametrize("name", ["../../etc", "", "a/b", "5F0C2C1E-3C55-4B3A-9D43-9F7A3D1F0001", "{}"])
async def test_no_path_is_made_from_what_is_no_workspace_id(hired, name):
    backend = hired()

    for ask in (backend.get, backend.stop, backend.forget):
        with pytest.raises(InvalidArgument):
            await ask(WorkspaceId(name))


async def test_what_is_no_workspace_is_not_listed(hired, tmp_path, spec):
    backend = hired()
    await backend.start(spec)
    (backend._root / "lost+found").mkdir()
    (backend._root / str(uuid.uuid4())).symlink_to(tmp_path)
    (backend._root / str(uuid.uuid4())).write_text("")

    assert [instance.workspace_id for instance in await backend.list()] == [spec.workspace_id]


async def test_a_port_that_is_offered_twice_is_given_once(hired):
    first, second = free_port(), free_port()
    offers = iter((first, first, second))
    backend = hired(offered=lambda: next(offers))

    made = await asyncio.gather(backend.start(spec_of()), backend.start(spec_of()))

    assert sorted(instance.address for instance in made) == sorted(
        f"http://127.0.0.1:{port}" for port in (first, second)
    )


async def test_twenty_instances_start_side_by_side(hired):
    backend = hired()
    specs = [spec_of() for _ in range(20)]

    made = await asyncio.gather(*(backend.start(spec) for spec in specs))

    assert len({instance.address for instance in made}) == 20
    assert {instance.phase for instance in await backend.list()} == {Phase.RUNNING}
    await asyncio.gather(*(backend.stop(spec.workspace_id) for spec in specs))
    assert {instance.phase for instance in await backend.list()} == {Phase.EXITED}


async def test_a_keeper_is_small(hired, spec):
    backend = hired()
    await backend.start(spec)

    status = told_of(record_of(backend, spec.workspace_id).keeper.pid, "status")

    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 15 * 1024


async def test_a_life_of_another_start_time_is_over():
    own = lives.Life(pid=os.getpid(), started=keeper.started(os.getpid()) or 0, boot=keeper.boot())

    assert own.lasts()
    assert not replace(own, started=own.started + 1).lasts()
    assert not replace(own, boot="another").lasts()


async def test_a_child_that_ended_before_anybody_watched_is_told_and_reaped():
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], {})
    child = lives.Life(pid=pid, started=keeper.state(pid)[1], boot=keeper.boot())
    await eventually(lambda: keeper.state(pid)[0] == "Z")
    vigil = lives.Vigil()

    vigil.enter("the child", child)

    assert await vigil.next_end() == "the child"
    assert not there(pid)


async def test_our_own_agent_boots_with_its_files_and_nothing_from_its_working_directory(hired, spec):
    """A file of its own making, in the directory it works in, is not mistaken for a module of Python."""
    backend = hired(*AGENT)
    contract = (("WORKSPACE_ID", spec.workspace_id), ("PLATFORM_URL", "http://127.0.0.1:9"))
    place = folder.of(backend._root, spec.workspace_id)
    place.make()
    (place.path / "workspace" / "json.py").write_text("raise SystemExit('imported from where the agent writes')")

    made = await backend.start(replace(spec, environment=contract))

    async with httpx.AsyncClient(base_url=made.address, trust_env=False) as agent:

        async def healthy() -> bool:
            with contextlib.suppress(httpx.ConnectError):
                return (await agent.get("/health")).status_code == 200
            return False

        await eventually(healthy, within=20)
    assert "workspace" in log_of(backend, spec.workspace_id)
    assert "token-1" not in log_of(backend, spec.workspace_id)


def test_an_agent_is_our_own_where_nothing_else_is_said(tmp_path):
    assert make(Site(tmp_path))._command == AGENT
    assert make(Site(tmp_path, OBEDIENT))._command == OBEDIENT
