"""Runs the embedded PostgreSQL for a test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy import postgres
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.readiness import wait_until_ready
from deploy.supervisor import Child, Supervisor


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Yield a home outside pytest's directories, which PostgreSQL's own user may not traverse."""
    with TemporaryDirectory(prefix="molecule-test-") as directory:
        home = Path(directory) / "home"
        yield home
        Layout.for_home(home).remove_socket_directories()


START_TIMEOUT = timedelta(seconds=30)


@asynccontextmanager
async def run_postgres(layout: Layout) -> AsyncIterator[tuple[postgres.Postgres, Child]]:
    """Run a server within the block."""
    server = postgres.prepare(layout)
    with closing(ProcessLogs(layout.logs)) as logs:
        async with Supervisor(on_output=logs.append, on_exit=lambda _: None) as supervisor:
            child = supervisor.start(server.command)
            await wait_until_ready(
                lambda: postgres.can_connect(server), children=[child], logs=logs, timeout=START_TIMEOUT
            )
            yield server, child
