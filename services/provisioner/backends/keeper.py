"""The keeper of one agent process: starts it, reaps it, keeps its log, and writes down what became of it.

Runs as a program of its own, in a session of its own, so that an agent outlives the provisioner but never its
keeper. It knows the standard library only and is started without site packages: there is one for each agent, so it
has to be small. It takes its order as JSON on standard input, works in the directory it is given, and answers with
one line: `ok`, `busy` where that directory has a keeper already, or `failed` and why.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import sys
import time

LOG_LIMIT = 10 * 1024 * 1024
"""Bytes of output after which the log is put aside; the one put aside before is dropped."""

LAST_WORDS = 4
"""Reads that are left in a pipe, at most, when its agent has ended: a pipe holds as much as one read takes."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Keep one agent until it ends."""
    os.umask(0o077)
    keeper = Keeper(**json.load(sys.stdin.buffer))  # one cut short is no JSON: its provisioner died while giving it
    os.chdir(arguments[1])
    if not _alone():
        _answer("busy")
        return 1
    try:
        keeper.start()
    except OSError as error:
        _answer(f"failed {error}")
        return 1
    _answer("ok")
    keeper.keep()
    return 0


class Keeper:
    """One agent and its end."""

    def __init__(
        self, *, argv: list[str], environment: dict[str, str], generation: int, port: int, grace: float
    ) -> None:
        self._argv = argv
        self._environment = environment
        self._generation = generation
        self._port = port
        self._grace = grace
        self._log = Log("log/agent.log")
        self._agent = 0
        self._agent_started = 0
        self._output = -1
        self._signals = _signal_pipe()
        self._kill_at: float | None = None

    def start(self) -> None:
        """Start the agent and write down that it runs; raises `OSError` where it cannot be started."""
        self._log.write(b"")
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        self._agent = _spawned(self._argv, self._environment, output)
        os.close(output)
        self._agent_started = state(self._agent)[1]
        self._write(exit_code=None)

    def keep(self) -> None:
        """Pass output on to the log until the agent has ended, then write down how."""
        exit_code = None
        while exit_code is None:
            self._wait()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                _kill_group(self._agent, signal.SIGKILL)
                self._kill_at += 1
            exit_code = self._reap()
        for _ in range(LAST_WORDS):
            self._pass_on()
        self._write(exit_code=exit_code)

    def _wait(self) -> None:
        left = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        watched = [self._signals] if self._output < 0 else [self._signals, self._output]
        ready, _, _ = select.select(watched, [], [], left)
        if self._output in ready:
            self._pass_on()
        if self._signals in ready and signal.SIGTERM in os.read(self._signals, 64) and self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace
            _kill_group(self._agent, signal.SIGTERM)

    def _pass_on(self) -> None:
        """Move some of what the agent has written into the log; an agent that never stops writing is stopped too."""
        if self._output < 0:
            return
        with contextlib.suppress(BlockingIOError):
            text = os.read(self._output, 65536)
            self._log.write(text)
            if not text:
                os.close(self._output)
                self._output = -1

    def _reap(self) -> int | None:
        """Bury every child that has ended; the exit code of the agent once it is among them.

        Its group is killed while it is a zombie: until it is buried, nobody else can be given its number.
        """
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid == self._agent:
                _kill_group(self._agent, signal.SIGKILL)
                return os.waitstatus_to_exitcode(os.waitpid(self._agent, 0)[1])
            os.waitpid(found.si_pid, 0)
        return None

    def _write(self, *, exit_code: int | None) -> None:
        """Write `instance.json`: whole or not at all."""
        text = {
            "generation": self._generation,
            "port": self._port,
            "boot": boot(),
            "keeper": {"pid": os.getpid(), "started": started(os.getpid())},
            "agent": {"pid": self._agent, "started": self._agent_started},
            "exit": exit_code,
        }
        with open("instance.json.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs memory
            json.dump(text, file)
        os.replace("instance.json.new", "instance.json")  # noqa: PTH105 - the same


class Log:
    """A file that is put aside when it has grown to its limit. A full disk loses output, never the agent."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._size = 0

    def write(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            self._open()
            self._size += os.write(self._file, text)

    def _open(self) -> None:
        if self._file >= 0 and self._size < LOG_LIMIT:
            return
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            os.replace(self._path, self._path + ".1")  # noqa: PTH105 - pathlib costs memory
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._size = os.fstat(self._file).st_size


def started(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; `None` where there is none, or only its remains.

    Together with the boot, pid and start time are the identity of a process: numbers are given out again.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        letter, ticks = state(pid)
        return None if letter in {"Z", "X"} else ticks
    return None


def boot() -> str:
    """The id of this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - the same
        return file.read().strip()


def state(pid: int) -> tuple[str, int]:
    """State and start time of a process, also of one that has ended and was not reaped; raises where there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs memory
        fields = file.read().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _alone() -> bool:
    """Whether this is the only keeper here. The kernel lets go of the lock when the keeper is gone, however it went."""
    lock = os.open("keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _signal_pipe() -> int:
    """Where the numbers of arriving signals can be read. Must exist before the agent, or its end could be missed."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reading


def _spawned(argv: list[str], environment: dict[str, str], output: int) -> int:
    """The pid of the agent, in a session of its own; raises `OSError` where it cannot be executed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != keeper:
                os._exit(1)
            _become(argv, environment, output)
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(writing)
    failure = os.read(reading, 16).decode()
    os.close(reading)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid


def _become(argv: list[str], environment: dict[str, str], output: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((nothing, output, output)):
        os.dup2(source, number)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.chdir("workspace")
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - an argv, not a line for a shell


def _kill_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _answer(line: str) -> None:
    """Tell the provisioner, and let go of it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())
    for number in (0, 1, 2):
        os.dup2(nothing, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
