"""Checks the machine of a plane: its home, disk, port and engine of containers."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx

from molecule_cli.answer_json import parse_json
from molecule_cli.diagnosis import judgement
from molecule_cli.diagnosis.model import Finding, fault, ok, skipped, warning
from services.chassis.settings import read_environment

DEFAULT_ENGINE = "unix:///var/run/docker.sock"

ENGINE_TIMEOUT_SECONDS = 5.0


def check_home(home: Path, *, port: int) -> Iterator[Finding]:
    """Yield whether a plane runs in this home, can write there, and, if none runs, can take the port."""
    from deploy import lock

    home = home.absolute()
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        step = f"give your user access to {existing}, or name another home with MOLECULE_HOME"
        yield fault("home", f"{home} cannot be written by this user", step)
        return
    if existing != home:
        yield ok("home", f"{home} does not exist yet; molecule up makes it")
        yield _check_port(port)
        return
    yield judgement.judge_disk(shutil.disk_usage(home).free, home)
    try:
        pid = lock.find_holder(home / lock.FILE_NAME)
    except OSError as error:
        yield fault("home", f"its lock cannot be read: {error.strerror}", f"give your user access to {home}")
        return
    if pid is not None:
        yield ok("home", f"the plane in {home} runs (pid {pid})")
    else:
        yield warning("home", f"no plane runs in {home}", "molecule up -d starts it")
        yield _check_port(port)


def check_engine(*, backend: str) -> Finding:
    """Say whether the engine of containers answers; only for a plane that runs workspaces in containers."""
    if backend != "docker":
        return skipped("engine", f"not needed: BACKEND is {backend}")
    address = read_environment().get("DOCKER_HOST") or DEFAULT_ENGINE
    socket_path = address.removeprefix("unix://") if address.startswith("unix://") else None
    step = "start it (systemctl start docker), or check DOCKER_HOST and that your user may use it"
    if socket_path and not Path(socket_path).exists():
        return fault("engine", f"the Docker Engine at {address} does not answer: there is no such socket", step)
    base_url = "http://engine" if socket_path else address.replace("tcp://", "http://", 1)
    try:
        transport = httpx.HTTPTransport(uds=socket_path, trust_env=False)
        with httpx.Client(
            transport=transport, base_url=base_url, timeout=ENGINE_TIMEOUT_SECONDS, trust_env=False
        ) as client:
            version = parse_json(client.get("/version").content)["Version"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        return fault("engine", f"the Docker Engine at {address} does not answer: {error or type(error).__name__}", step)
    return ok("engine", f"Docker Engine {version} answers")


def _check_port(port: int) -> Finding:
    """Say whether a gateway could listen on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            step = f"end the program that uses it (ss -ltnp shows it), or choose another port: PORT={port + 1}"
            return fault("port", f"port {port} cannot be used: {error.strerror}", step)
    return ok("port", f"port {port} is free")
