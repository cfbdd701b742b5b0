"""Finds or creates the workspace that an agent of this machine fills, and remembers it in the agent's directory."""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from molecule_cli import plane_client, workspaces
from molecule_cli.errors import CliError
from molecule_cli.settings import Connection

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

FILE_NAME = ".workspace.json"

MAX_FILE_BYTES = 64 * 1024

TOKEN_NOTE = "molecule connect"  # noqa: S105 - a note, no token


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedWorkspace:
    """The workspace of one directory."""

    id: str
    name: str
    delivery_mode: str
    """`push` or `poll`, as it was stored in the plane when the directory was made."""


def choose_directory_name(workspace: str) -> str:
    """Return the name of the directory for a workspace; raises `CliError` if its name is none of a directory."""
    if workspace in {"", ".", ".."} or "/" in workspace or "\0" in workspace or workspace.startswith("-"):
        message = f"{workspace!r} is no name of a directory: choose one with --directory"
        raise CliError(message)
    return workspace


def open_workspace(
    connection: Connection, root: Path, name_or_id: str, *, may_create: bool, token: str
) -> ConnectedWorkspace:
    """Return the workspace of a directory, and store its token there.

    The first time the plane is asked: with `token`, which is one of the workspace, or with that of the connection,
    which may create the workspace or mint a token for it. Later the directory knows everything. Raises `CliError`.
    """
    from molecule_agent.credentials import Credentials

    credentials = Credentials(root)
    known = _read(root)
    if known is not None and name_or_id not in {known.id, known.name}:
        message = f"{root} belongs to the workspace {known.name} ({known.id}): choose another --directory"
        raise CliError(message)
    if known is None or token or credentials.token is None:
        own = replace(connection, token=SecretStr(token)) if token else connection
        with plane_client.open_plane(own) as plane:
            id_, issued = _find_or_create(plane, name_or_id, may_create=may_create)
            credentials.save_token(token or issued or (None if credentials.token else _mint(plane, id_)))
            known = _describe(plane, id_)
        _write(root, known)
    if credentials.token is None:
        message = f"the token of the workspace cannot be stored in {root}: choose another --directory"
        raise CliError(message)
    return known


def _find_or_create(plane: "PlaneClient", name_or_id: str, *, may_create: bool) -> tuple[str, str]:
    """Return the id of the workspace and, if it is a new one, its token."""
    named = (
        [str(one["id"]) for one in workspaces.list_workspaces(plane) if one["name"] == name_or_id] if may_create else []
    )
    if not may_create or named:
        return workspaces.find_workspace(plane, name_or_id), ""
    with plane.explain_errors():
        made = plane.request("POST", "/workspaces", body={"name": name_or_id, "runtime": "external"})
        return str(made["id"]), str(made["connection"]["auth_token"])


def _mint(plane: "PlaneClient", id_: str) -> str:
    with plane.explain_errors():
        return str(plane.request("POST", f"/workspaces/{id_}/tokens", body={"note": TOKEN_NOTE})["auth_token"])


def _describe(plane: "PlaneClient", id_: str) -> ConnectedWorkspace:
    with plane.explain_errors():
        found = plane.request("GET", f"/workspaces/{id_}")
        return ConnectedWorkspace(id=id_, name=str(found["name"]), delivery_mode=str(found["delivery_mode"]))


def _read(root: Path) -> ConnectedWorkspace | None:
    path = root / "configs" / FILE_NAME
    try:
        with path.open(encoding="utf-8") as file:
            stored: dict[str, Any] = json.loads(file.read(MAX_FILE_BYTES))
            return ConnectedWorkspace(**{name: str(stored[name]) for name in ("id", "name", "delivery_mode")})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read: {error}; remove it to connect anew"
        raise CliError(message) from error


def _write(root: Path, workspace: ConnectedWorkspace) -> None:
    path = root / "configs" / FILE_NAME
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(json.dumps(asdict(workspace)), encoding="utf-8")
    temporary.replace(path)
