"""Creates the demo team on the first start of a home, through the REST API like any other organisation."""

import asyncio
from socket import gaierror
from typing import Any
from urllib.parse import urlsplit

import httpx

from deploy.errors import StartError

ORG_TEMPLATE = "demo"
"""The org template of the demo team."""

ONLINE_TIMEOUT_SECONDS = 30.0
"""Time after which the start continues although the team is not online; its agents may still be booting."""

STOPPED_STATUSES = frozenset({"failed", "paused", "hibernating", "hibernated"})
"""Statuses of members that the start does not wait for: they do not come online by themselves, or not soon."""

POLL_INTERVAL_SECONDS = 0.05

IMPORT_TIMEOUT_SECONDS = 60.0
"""Time that the import may take on a machine that is busy with the start."""


async def import_team(plane: httpx.AsyncClient) -> dict[str, str]:
    """Import the team and return the ids of its members by name.

    Returns nothing if the plane already has workspaces, or has no template of the demo team.
    """
    if await _list_workspaces(plane):
        return {}
    response = await plane.post("/org/import", json={"dir": ORG_TEMPLATE}, timeout=IMPORT_TIMEOUT_SECONDS)
    if response.status_code == httpx.codes.NOT_FOUND:
        return {}
    return {member["name"]: member["id"] for member in _require_success(response).json()["workspaces"]}


async def find_existing_members(plane: httpx.AsyncClient, team: dict[str, str]) -> dict[str, str]:
    """Return those members that still exist, in the order of the team."""
    existing = {workspace["id"] for workspace in await _list_workspaces(plane)}
    return {name: workspace_id for name, workspace_id in team.items() if workspace_id in existing}


async def wait_until_online(plane: httpx.AsyncClient, ids: frozenset[str]) -> bool:
    """Wait until all members are online that are not stopped; return whether that happened in time, and none failed.

    After a restart the registry still has the status from before, so each agent must accept connections, too.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ONLINE_TIMEOUT_SECONDS
    while loop.time() < deadline:
        members = [workspace for workspace in await _list_workspaces(plane) if workspace["id"] in ids]
        running = [member for member in members if member["status"] not in STOPPED_STATUSES]
        if all([member["status"] == "online" and await _is_listening(member.get("url") or "") for member in running]):
            return all(member["status"] != "failed" for member in members)
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
    return False


async def _is_listening(url: str) -> bool:
    address = urlsplit(url)
    if not address.hostname or not address.port:
        return True
    try:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
    except gaierror:
        return True  # the name of a container, which only its network knows
    except OSError:
        return False
    writer.close()
    return True


async def _list_workspaces(plane: httpx.AsyncClient) -> list[dict[str, Any]]:
    workspaces: list[dict[str, Any]] = _require_success(await plane.get("/workspaces")).json()
    return workspaces


def _require_success(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        message = f"the demo team could not be created: {response.status_code} {response.text}; DEMO=0 starts without"
        raise StartError(message)
    return response
