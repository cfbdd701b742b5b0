"""Measures the start of agents in containers, and of bare `docker run` of the same image in the same run."""

import asyncio
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx

from deploy.layout import Layout
from deploy.plane import Plane
from deploy.settings import copy_environment
from services.provisioner.docker_options import DEFAULT_IMAGE

NETWORK = "molecule-bench"

STARTS = 7
"""Workspaces, and bare containers, that are started by turns."""

START_TIMEOUT_SECONDS = 60
"""Seconds that one start may take."""

POLL_INTERVAL_SECONDS = 0.02
"""Seconds between two looks at an agent, or at the status of a workspace."""


async def measure_containers(
    measure_start: Callable[[Plane, str], Awaitable[float]],
) -> dict[str, float | None]:
    """Return the medians of both starts; `None` for both without an engine that has the image."""
    image = copy_environment().get("PROVISIONER_DOCKER_IMAGE", DEFAULT_IMAGE)
    if shutil.which("docker") is None or not await _succeeds("image", "inspect", image):
        print(f"containers: not measured, because no Docker Engine has the image {image} (deploy/workspace/build.sh)")
        return {"docker_create_p50_s": None, "docker_run_p50_s": None}
    env = {
        "RATE_LIMIT": "1000000",
        "PROVISIONER_DOCKER_IMAGE": image,
        "PROVISIONER_DOCKER_NETWORK": NETWORK,
        "PROVISIONER_DOCKER_PULL": "never",
    }
    created, ran = [], []
    with TemporaryDirectory(prefix="molecule-bench-") as scratch:
        home = Layout.for_home(Path(scratch) / "home").home
        async with Plane(backend="docker", processes=True, home=home, env=env) as plane:
            for number in range(STARTS):
                created.append(await measure_start(plane, f"container-{number}"))
                ran.append(await _measure_run(image))
            await _remove_workspaces(plane)
    await _succeeds("network", "rm", NETWORK)
    print(f"create to online in a container: p50 {statistics.median(created):.2f} s, slowest {max(created):.2f} s")
    print(f"docker run of the same image until its port answers: p50 {statistics.median(ran):.2f} s")
    return {
        "docker_create_p50_s": round(statistics.median(created), 3),
        "docker_run_p50_s": round(statistics.median(ran), 3),
    }


async def _measure_run(image: str) -> float:
    """Return the seconds from `docker run` until the port of the agent answers."""
    name = f"molecule-bench-{token_hex(4)}"
    variables = {
        "WORKSPACE_ID": str(uuid4()),
        "PLATFORM_URL": "http://127.0.0.1:9",
        "HOST": name,
        "PORT": "8000",
        "ADAPTER_MODULE": "molecule_agent.echo",
        "MOLECULE_ROOT": "/tmp",  # noqa: S108 - in the container
    }
    options = [option for variable, value in variables.items() for option in ("--env", f"{variable}={value}")]
    started_at = time.perf_counter()
    try:
        await _run("run", "--detach", "--init", "--name", name, "--network", NETWORK, *options, image)
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = (await _run("inspect", "--format", template, name)).strip()
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http, asyncio.timeout(START_TIMEOUT_SECONDS):
            while not await _answers(http, f"http://{address}:8000/.well-known/agent-card.json"):  # noqa: ASYNC110
                await asyncio.sleep(POLL_INTERVAL_SECONDS)
        return time.perf_counter() - started_at
    finally:
        await _succeeds("rm", "--force", "--volumes", name)


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        await http.get(url)
    except httpx.TransportError:
        return False
    return True


async def _remove_workspaces(plane: Plane) -> None:
    answer = await plane.http.get("/workspaces", headers=plane.admin)
    answer.raise_for_status()
    for one in answer.json():
        await plane.http.delete(f"/workspaces/{one['id']}?confirm=true", headers=plane.admin)
    filters = [option for one in answer.json() for option in ("--filter", f"name={one['id']}")]
    async with asyncio.timeout(START_TIMEOUT_SECONDS):
        while filters and await _run("volume", "ls", "--quiet", *filters):  # noqa: ASYNC110
            await asyncio.sleep(POLL_INTERVAL_SECONDS)


async def _succeeds(*arguments: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


async def _run(*arguments: str) -> str:
    """Run the Docker command line and return what it prints."""
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        message = f"docker {arguments[0]} failed"
        raise RuntimeError(message)
    return output.decode()
