"""Creates workspaces in containers, looks at what the engine has of them, and waits for what the plane says of them."""

import asyncio
from typing import Any

import docker
import httpx
import pytest

from deploy.plane import Plane
from services.provisioner.backends.docker import names
from services.provisioner.model import WorkspaceId
from tests.e2e.conversation import create, get_workspace
from tests.provisioner.engine_proxy import EngineProxy
from tests.waiting import eventually

BOUND = 60.0
"""Seconds from the end of a fault until every workspace is in the wanted state, also on a busy machine."""

INSTALLATION = "test-faults-plane"


async def create_from(plane: Plane, template: str, **fields: Any) -> str:
    return await create(plane, template, runtime=template, template=template, **fields)


async def remove(plane: Plane, engine: docker.APIClient, *workspace_ids: str) -> None:
    """Remove workspaces, and wait until the engine has nothing of them."""
    for workspace_id in workspace_ids:
        await plane.http.delete(f"/workspaces/{workspace_id}?confirm=true", headers=plane.admin)
    for workspace_id in workspace_ids:
        await eventually(lambda removed=workspace_id: is_gone(engine, removed), within=BOUND)


async def wait_for_status(plane: Plane, workspace_id: str, status: str) -> dict[str, Any]:
    """Return the workspace once it has the status."""

    async def find() -> dict[str, Any] | None:
        try:
            found = await get_workspace(plane, workspace_id)
        except httpx.TransportError:
            return None
        return found if found["status"] == status else None

    return await eventually(find, within=BOUND)


async def wait_for_explanation(plane: Plane, workspace_id: str, step: str, reason: str | None) -> dict[str, Any]:
    """Return the view of the provisioning once it names this step and reason."""
    seen: list[object] = []

    async def find() -> dict[str, Any] | None:
        view = (await get_workspace(plane, workspace_id)).get("provisioning") or {}
        if (now := (view.get("step"), view.get("reason"))) not in seen:
            seen.append(now)
        return view if now == (step, reason) else None

    try:
        return await eventually(find, within=BOUND)
    except AssertionError:
        pytest.fail(f"the view never said {step}, {reason}; it said {seen}")


def build_filters(workspace_id: str) -> dict[str, Any]:
    return {"label": [*names.build_label_filters(INSTALLATION), f"{names.WORKSPACE}={workspace_id}"]}


def list_containers(engine: docker.APIClient, workspace_id: str) -> list[str]:
    """Return the states of all containers of a workspace."""
    return [found["State"] for found in engine.containers(all=True, filters=build_filters(workspace_id))]


def list_volumes(engine: docker.APIClient, workspace_id: str) -> list[str]:
    """Return the names of the volumes of a workspace."""
    return sorted(volume["Name"] for volume in engine.volumes(filters=build_filters(workspace_id))["Volumes"] or ())


def is_gone(engine: docker.APIClient, workspace_id: str) -> bool:
    filters = build_filters(workspace_id)
    return not engine.containers(all=True, filters=filters) and not engine.volumes(filters=filters)["Volumes"]


def count_starts(engine: docker.APIClient, workspace_id: str) -> int:
    """Return how often agents have started on the volume of the workspace."""
    command = engine.exec_create(names.name_container(WorkspaceId(workspace_id)), ["cat", "/workspace/starts"])
    return engine.exec_start(command["Id"]).splitlines().count(b"start")


async def kill_provisioner_at(plane: Plane, proxy: EngineProxy) -> None:
    """Kill the provisioner while the request of the fault is held."""
    async with asyncio.timeout(BOUND):
        await proxy.wait_until_held()
    ended = plane.count_exits("provisioner")
    plane.kill("provisioner")
    await eventually(lambda: plane.count_exits("provisioner") > ended)


async def wait_for_exit(plane: Plane, workspace_id: str, code: int) -> None:
    """Wait until the workspace names the end of its last instance."""

    async def is_named() -> bool:
        found = await get_workspace(plane, workspace_id)
        return bool(found["restart_count"]) and (found["last_exit"] or {}).get("code") == code

    await eventually(is_named, within=BOUND)
