"""Supervises one agent process: starts it, reaps it, writes its log, and records how it ended.

This file runs as a program of its own, in a session of its own: an agent survives the provisioner, but never its
supervisor. There is one supervisor for each agent, so it has to be small: it uses the standard library only and starts
without site packages. It reads its launch request as JSON from standard input, works in the directory given as its
argument, and answers with one line: `ok`, `busy` if the directory already has a supervisor, or `failed <cause>`.

The names and members of the files it writes are those of earlier releases, whose instances may still run.
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

MAX_LOG_FILE_BYTES = 10 * 1024 * 1024
"""The size at which the log is rotated; one rotated file is kept."""

FINAL_READS = 4
"""Reads of the output after the agent ended; one read takes as much as a pipe holds."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Supervise one agent until it ends; return the exit code of the supervisor."""
    os.umask(0o077)
    # If the provisioner dies while it sends the request, the JSON is invalid and this program ends.
    supervisor = ProcessSupervisor(**json.load(sys.stdin.buffer))
    os.chdir(arguments[1])
    if not _lock_directory():
        _answer("busy")
        return 1
    try:
        supervisor.start()
    except OSError as error:
        _answer(f"failed {error}")
        return 1
    _answer("ok")
    supervisor.run()
    return 0


class ProcessSupervisor:
    """One agent process from its start to its end."""

    def __init__(
        self, *, argv: list[str], environment: dict[str, str], generation: int, port: int, stop_grace_seconds: float
    ) -> None:
        self._argv = argv
        self._environment = environment
        self._generation = generation
        self._port = port
        self._stop_grace_seconds = stop_grace_seconds
        self._log = RotatingLogFile("log/agent.log")
        self._agent_pid = 0
        self._agent_start_ticks = 0
        self._output = -1
        self._signals = _open_signal_pipe()
        self._kill_at: float | None = None

    def start(self) -> None:
        """Start the agent and record that it runs; raises `OSError` if it cannot be started."""
        self._log.write(b"")
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        self._agent_pid = _spawn_agent(self._argv, self._environment, output)
        os.close(output)
        self._agent_start_ticks = read_process_state(self._agent_pid)[1]
        self._write_record(exit_code=None)

    def run(self) -> None:
        """Copy output to the log until the agent ends, then record its exit code."""
        exit_code = None
        while exit_code is None:
            self._wait()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                _signal_group(self._agent_pid, signal.SIGKILL)
                self._kill_at += 1
            exit_code = self._reap()
        for _ in range(FINAL_READS):
            self._copy_output()
        with contextlib.suppress(OSError):  # on a full disk, the end of this process tells that the agent has ended
            self._write_record(exit_code=exit_code)

    def _wait(self) -> None:
        """Wait for output, for a signal, or for the time of the next SIGKILL; copy output and handle SIGTERM."""
        timeout = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        watched = [self._signals] if self._output < 0 else [self._signals, self._output]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self._output in ready:
            self._copy_output()
        if self._signals in ready and signal.SIGTERM in os.read(self._signals, 64) and self._kill_at is None:
            self._kill_at = time.monotonic() + self._stop_grace_seconds
            _signal_group(self._agent_pid, signal.SIGTERM)

    def _copy_output(self) -> None:
        """Copy one chunk of output to the log: an agent that never stops writing must not delay its stop."""
        if self._output < 0:
            return
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self._output, 65536)
            self._log.write(chunk)
            if not chunk:
                os.close(self._output)
                self._output = -1

    def _reap(self) -> int | None:
        """Reap every child that has ended; return the exit code of the agent if it is among them.

        The agent's process group is killed while the agent is a zombie, because its pid cannot be reused until then.
        """
        while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if child.si_pid == self._agent_pid:
                _signal_group(self._agent_pid, signal.SIGKILL)
                return os.waitstatus_to_exitcode(os.waitpid(self._agent_pid, 0)[1])
            os.waitpid(child.si_pid, 0)
        return None

    def _write_record(self, *, exit_code: int | None) -> None:
        """Write `instance.json` completely or not at all."""
        record = {
            "generation": self._generation,
            "port": self._port,
            "boot": read_boot_id(),
            "keeper": {"pid": os.getpid(), "started": read_start_ticks(os.getpid())},
            "agent": {"pid": self._agent_pid, "started": self._agent_start_ticks},
            "exit": exit_code,
        }
        with open("instance.json.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs memory
            json.dump(record, file)
        os.replace("instance.json.new", "instance.json")  # noqa: PTH105 - the same


class RotatingLogFile:
    """A log file that is rotated at its size limit. A full disk loses output but never stops the agent.

    Once the log can be written again, one line in it says how much was lost.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._size = 0
        self._lost = 0
        self._cause = ""

    def write(self, data: bytes) -> None:
        left = data
        try:
            self._open()
            if self._lost:
                report = f"\nmolecule: {self._lost} bytes of output were lost here: {self._cause}\n".encode()
                self._size += os.write(self._file, report)
                self._lost = 0
            while left:
                written = os.write(self._file, left)
                self._size += written
                left = left[written:]
        except OSError as error:
            self._lost += len(left)
            self._cause = error.strerror or ""

    def _open(self) -> None:
        if self._file >= 0 and self._size < MAX_LOG_FILE_BYTES and not self._lost:
            return
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            if self._size >= MAX_LOG_FILE_BYTES:
                os.replace(self._path, self._path + ".1")  # noqa: PTH105 - pathlib costs memory
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._size = os.fstat(self._file).st_size


def read_start_ticks(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; `None` if it ended, also for a zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state, ticks = read_process_state(pid)
        return None if state in {"Z", "X"} else ticks
    return None


def read_boot_id() -> str:
    """Return the id of the machine's current boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - the same
        return file.read().strip()


def read_process_state(pid: int) -> tuple[str, int]:
    """Return the state letter and the start time of a process, also of a zombie; raises `OSError` if there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib costs memory
        fields = file.read().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _lock_directory() -> bool:
    """Return whether this is the directory's only supervisor. The kernel releases the lock when this process ends."""
    lock = os.open("keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _open_signal_pipe() -> int:
    """Return a descriptor from which the numbers of received signals can be read.

    Called before the agent is started, so that its end cannot be missed.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reading


def _spawn_agent(argv: list[str], environment: dict[str, str], output: int) -> int:
    """Start the agent in a session of its own and return its pid; raises `OSError` if it cannot be executed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor_pid = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != supervisor_pid:
                os._exit(1)
            _execute_agent(argv, environment, output)
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


def _execute_agent(argv: list[str], environment: dict[str, str], output: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((null, output, output)):
        os.dup2(source, number)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.chdir("workspace")
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - an argv, not a shell command


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _answer(line: str) -> None:
    """Send the answer to the provisioner, and close the connection to it."""
    null = os.open(os.devnull, os.O_RDWR)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())
    for number in (0, 1, 2):
        os.dup2(null, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
