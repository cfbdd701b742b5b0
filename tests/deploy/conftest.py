"""Fixtures of the deployment's tests."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.deploy import fake_processes, postgres_server
from tests.deploy.molecule_up import MoleculeUp


@pytest.fixture
def home() -> Iterator[Path]:
    with postgres_server.temporary_home() as home:
        yield home


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path, home, port, database_url) -> Iterator[Callable[..., MoleculeUp]]:
    """Return a function that starts `molecule up` with the options of `MoleculeUp`.

    `DATABASE_URL=""` makes it start the embedded PostgreSQL.
    """
    running: list[MoleculeUp] = []

    def start(*, folder: Path | None = None, options: dict[str, Any] | None = None, **more: str) -> MoleculeUp:
        packages = folder or fake_processes.write_packages(tmp_path / f"plane{len(running)}")
        given = {"MOLECULE_HOME": str(home), "PORT": str(port), "DATABASE_URL": database_url, "PATH": os.defpath}
        running.append(MoleculeUp(packages, given | more, **(options or {})))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()
        for process in each.list_running_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
