"""Lists and finds workspaces with any token: an organisation token sees its own, which only the search lists."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

from molecule_cli import workspace_paths
from molecule_cli.errors import CliError, PlaneRefusal

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

SEARCH_PAGE_SIZE = 100

MAX_DETAIL_REQUESTS = 50
"""Workspaces whose details are read one by one, with a token that may not list them."""

EXPLAINED_STATUSES = frozenset({"provisioning", "failed"})

NOT_AN_ADMIN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def list_workspaces(plane: "PlaneClient") -> list[dict[str, Any]]:
    """Return the workspaces that the token may list, with their details as far as it may read them."""
    try:
        workspaces: list[dict[str, Any]] = plane.request("GET", "/workspaces")
    except PlaneRefusal as refusal:
        if refusal.status not in NOT_AN_ADMIN:
            raise
        return _list_with_details(plane)
    return workspaces


def add_explanations(plane: "PlaneClient", found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the workspaces with where their starts stand, which the plane tells of one workspace at a time.

    Of more than `MAX_DETAIL_REQUESTS` that start or have failed, only the first ones are explained.
    """
    starting = [one["id"] for one in found if one.get("status") in EXPLAINED_STATUSES and "provisioning" not in one]
    asked = set(starting[:MAX_DETAIL_REQUESTS])
    return [
        one | {"provisioning": _read_details(plane, one).get("provisioning")} if one["id"] in asked else one
        for one in found
    ]


def find_workspace(plane: "PlaneClient", reference: str) -> str:
    """Return the id of the workspace with a name, a path such as `org/name`, or an id.

    An id is not looked up, because the caller may not be allowed to list it.
    """
    if _is_id(reference):
        return reference.lower()
    found = list(_search(plane, reference))
    ids = [str(one["id"]) for one in found if one["name"] == reference]
    if not ids and workspace_paths.SEPARATOR in reference:
        ids = [str(one["id"]) for one in workspace_paths.find_by_path(list_visible(plane), reference)]
    match ids:
        case [only]:
            return only
        case []:
            similar = [one["name"] for one in found if str(one["name"]).lower() == reference.lower()]
            question = f"did you mean {similar[0]}? " if similar else ""
            message = f"no workspace is called {reference}: {question}molecule status lists them"
            raise CliError(message)
        case _:
            path = f"ORG/{reference.rpartition(workspace_paths.SEPARATOR)[2]}"
            message = f"{len(ids)} workspaces are called {reference}; use a path ({path}) or an id: {', '.join(ids)}"
            raise CliError(message)


def read_names(plane: "PlaneClient") -> dict[str, str]:
    """Return the names of the workspaces that the token may see, by their ids."""
    try:
        found = plane.request("GET", "/workspaces")
    except PlaneRefusal as refusal:
        if refusal.status not in NOT_AN_ADMIN:
            raise
        found = _search(plane, None)
    return {str(one["id"]): str(one["name"]) for one in found}


def list_visible(plane: "PlaneClient") -> list[dict[str, Any]]:
    """Return id, name, status and parent of each workspace that the token may see."""
    return list(_search(plane, None))


def _list_with_details(plane: "PlaneClient") -> list[dict[str, Any]]:
    found = list(_search(plane, None))
    if len(found) > MAX_DETAIL_REQUESTS:
        return found
    return [_read_details(plane, one) for one in found]


def _read_details(plane: "PlaneClient", found: dict[str, Any]) -> dict[str, Any]:
    """Return the whole workspace; what the search found, if it has been removed or hidden meanwhile."""
    try:
        details: dict[str, Any] = plane.request("GET", f"/workspaces/{found['id']}")
    except PlaneRefusal:
        return found
    return details


def _search(plane: "PlaneClient", text: str | None) -> Iterator[dict[str, Any]]:
    token: str | None = None
    while True:
        query = {"q": text, "limit": SEARCH_PAGE_SIZE, "page_token": token}
        with plane.explain_errors():
            page = plane.request("GET", "/registry/search", query=query)
            found, token = page["workspaces"], page.get("next")
        yield from found
        if not token:
            return


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
