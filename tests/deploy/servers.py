"""A real PostgreSQL of one's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy import postgres
from deploy.layout import Layout
from deploy.output import Journal
from deploy.readiness import until
from deploy.supervisor import Child, Supervisor


@contextmanager
def home() -> Iterator[Path]:
    """A home outside pytest's directories, which every other pytest on the machine closes to PostgreSQL's own user."""
    with TemporaryDirectory(prefix="molecule-test-") as directory:
        home = Path(directory) / "home"
        yield home
        Layout.of(home).tidy()


SOON = timedelta(seconds=30)


@asynccontextmanager
async def served(layout: Layout) -> AsyncIterator[tuple[postgres.Postgres, Child]]:
    server = postgres.prepare(layout)
    with closing(Journal(layout.logs)) as journal:
        async with Supervisor(hear=journal.hear, told=lambda _: None) as supervisor:
            child = supervisor.start(server.command)
            await until(lambda: postgres.answers(server), children=[child], journal=journal, within=SOON)
            yield server, child
