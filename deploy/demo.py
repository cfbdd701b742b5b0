"""The demo team: created over REST like any team, on the first start of a home."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from deploy.errors import CannotStart

TEMPLATE = Path(__file__).with_name("demo.yaml")

ONLINE_WITHIN = 30.0
"""Seconds after which the start goes on without a team that is not online; its agents may still be booting."""

PAUSE = 0.05
"""Seconds between two looks at the team."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A workspace of the team, and the name of the one above it."""

    name: str
    parent: str | None
    fields: dict[str, Any]


def team(template: Path = TEMPLATE) -> tuple[Member, ...]:
    """Parents before their members."""
    return tuple(_members(yaml.safe_load(template.read_text()), parent=None))


async def create(plane: httpx.AsyncClient, members: tuple[Member, ...]) -> None:
    """Create what is missing of the team. A plane that has other workspaces is in use already, and gets none."""
    ids = await _ids(plane)
    if not ids.keys() <= {member.name for member in members}:
        return
    for member in members:
        if member.name not in ids:
            ids[member.name] = await _create(plane, member, parent_id=ids.get(member.parent or ""))


async def present(plane: httpx.AsyncClient, members: tuple[Member, ...]) -> dict[str, str]:
    """The ids of those members that still exist, by name and in the order of the team."""
    ids = await _ids(plane)
    return {member.name: ids[member.name] for member in members if member.name in ids}


async def online(plane: httpx.AsyncClient, ids: frozenset[str]) -> bool:
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


async def _ids(plane: httpx.AsyncClient) -> dict[str, str]:
    return {workspace["name"]: workspace["id"] for workspace in await _workspaces(plane)}


async def _workspaces(plane: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _checked(await plane.get("/workspaces")).json()
    return found


async def _create(plane: httpx.AsyncClient, member: Member, *, parent_id: str | None) -> str:
    body = {"name": member.name, **member.fields} | ({"parent_id": parent_id} if parent_id else {})
    return str(_checked(await plane.post("/workspaces", json=body)).json()["id"])


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        message = f"the demo team could not be created: {response.status_code} {response.text}; DEMO=0 starts without"
        raise CannotStart(message)
    return response


def _members(nodes: list[dict[str, Any]], *, parent: str | None) -> Iterator[Member]:
    for node in nodes:
        fields = {key: value for key, value in node.items() if key not in {"name", "members"}}
        yield Member(name=node["name"], parent=parent, fields=fields)
        yield from _members(node.get("members", []), parent=node["name"])
