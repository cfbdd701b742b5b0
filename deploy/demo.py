"""The demo team: imported like any organisation, on the first start of a home."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx

from deploy.errors import StartError

ORGANISATION = "demo"
"""The org template that it is made of."""

ONLINE_WITHIN = 30.0
"""Seconds after which the start goes on without a team that is not online; its agents may still be booting."""

PAUSE = 0.05
"""Seconds between two looks at the team."""

MAKING = 60.0
"""Seconds that the import may take on a machine that is still busy starting."""


async def import_team(plane: httpx.AsyncClient) -> dict[str, str]:
    """Import the team: the ids of its members by name. A plane that has workspaces is in use already, and gets none.

    One without the org template has been given other ones, and gets none either.
    """
    if await _workspaces(plane):
        return {}
    response = await plane.post("/org/import", json={"dir": ORGANISATION}, timeout=MAKING)
    if response.status_code == httpx.codes.NOT_FOUND:
        return {}
    return {member["name"]: member["id"] for member in _checked(response).json()["workspaces"]}


async def find_existing_members(plane: httpx.AsyncClient, team: dict[str, str]) -> dict[str, str]:
    """Those members that still exist, in the order of the team."""
    there = {workspace["id"] for workspace in await _workspaces(plane)}
    return {name: workspace_id for name, workspace_id in team.items() if workspace_id in there}


async def wait_until_online(plane: httpx.AsyncClient, ids: frozenset[str]) -> bool:
    """Whether all of them got online in time.

    After a restart the book still says what was true before it, so their agents must take connections, too.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ONLINE_WITHIN
    while loop.time() < deadline:
        members = [found for found in await _workspaces(plane) if found["id"] in ids]
        if all([found["status"] == "online" and await _listens(found.get("url") or "") for found in members]):
            return True
        await asyncio.sleep(PAUSE)
    return False


async def _listens(url: str) -> bool:
    address = urlsplit(url)
    if not address.hostname or not address.port:
        return True
    try:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
    except OSError:
        return False
    writer.close()
    return True


async def _workspaces(plane: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _checked(await plane.get("/workspaces")).json()
    return found


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        message = f"the demo team could not be created: {response.status_code} {response.text}; DEMO=0 starts without"
        raise StartError(message)
    return response
