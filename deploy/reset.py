"""Removes a plane: its instances with their files, and its database. Templates and plugins of the operator stay."""

import asyncio
import shutil
from pathlib import Path

import asyncpg

from deploy import instances, lock, postgres
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.settings import UpSettings, copy_environment
from services.chassis.errors import ServiceError
from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.backends.docker.installation import FILE as INSTALLATION_FILE
from services.provisioner.backends.docker.installation import load_installation_id
from services.provisioner.backends.process import create_backend
from services.provisioner.docker_options import DockerOptions

SCHEMAS = ("registry", "a2a_proxy", "auth")
"""The schemas of a database of the operator."""


def find_plane(settings: UpSettings) -> Layout:
    """Return the home of a plane that does not run; raises `StartError` if it runs, or if there is none."""
    layout = Layout.for_home(settings.molecule_home)
    if not layout.lock.exists():
        message = f"there is no plane in {layout.home}: MOLECULE_HOME names another home"
        raise StartError(message)
    if lock.find_holder(layout.lock) is not None:
        message = f"the plane in {layout.home} runs: stop it with molecule down"
        raise StartError(message)
    return layout


def reset(settings: UpSettings) -> list[str]:
    """Remove the plane of a home, and return one line for each part that was removed.

    The parts are removed in an order in which an error leaves a plane that can be reset again. Raises `StartError`.
    """
    layout = find_plane(settings)
    with lock.hold_lock(layout.lock, url=""):
        done = [*_remove_containers(layout), *_remove_processes(layout)]
        if settings.database_url is not None:
            asyncio.run(_drop_schemas(settings.database_url.get_secret_value()))
            done.append(f"schemas {', '.join(SCHEMAS)} of the database")
        if layout.postgres.exists():
            postgres.stop_leftover_server(layout.postgres)
            done.append("embedded database")
        for path in (layout.postgres, layout.workspaces, layout.logs, layout.keys, layout.home / "staging"):
            _remove(path)
        for path in (layout.demo_team_file, layout.home / INSTALLATION_FILE):
            path.unlink(missing_ok=True)
        layout.remove_socket_directories()
    return done


def _remove_containers(layout: Layout) -> list[str]:
    """Remove the containers and volumes that this home's plane has made, if it ever used an engine."""
    if not (layout.home / INSTALLATION_FILE).exists():
        return []
    backend = DockerBackend(
        DockerOptions(host=copy_environment().get("DOCKER_HOST", "")), load_installation_id(layout.home)
    )
    return _count(asyncio.run(_purge(backend)), "workspaces in containers, with their volumes")


def _remove_processes(layout: Layout) -> list[str]:
    """Stop the agents that a killed plane has left, and delete the files of all."""
    if not layout.workspaces.exists():
        return []
    backend = create_backend(BackendConfig(layout.home))
    return _count(asyncio.run(_purge(backend)), "workspaces as processes, with their files")


async def _purge(backend: Backend) -> int:
    try:
        return await instances.purge(backend)
    except ServiceError as error:
        message = f"the instances of the plane cannot be removed, and nothing else was: {error.message}"
        raise StartError(message) from error
    finally:
        await backend.close()


async def _drop_schemas(database_url: str) -> None:
    try:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(f"DROP SCHEMA IF EXISTS {', '.join(SCHEMAS)} CASCADE")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"the schemas of DATABASE_URL cannot be dropped: {error}"
        raise StartError(message) from error


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"{error.filename} cannot be removed: {error.strerror}"
        raise StartError(message) from error


def _count(number: int, what: str) -> list[str]:
    return [f"{number} {what}"] if number else []
