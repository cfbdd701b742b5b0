"""All tools as functions, for adapters. Each function raises ToolError with the reason if it fails."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from molecule_agent.plane_client import PlaneClient, PlaneError, PlaneUnreachable, UploadedFile
from molecule_agent.tools.attachments import read_attachments
from molecule_agent.tools.delegations import Delegation, Delegations
from molecule_agent.tools.errors import ToolError

DELEGATION_TIMEOUT_SECONDS = 600.0
"""Seconds that `delegate` waits for a result."""

APPROVAL_TIMEOUT_SECONDS = 660.0
"""Seconds that `request_approval` waits; after 600 the plane denies what nobody decided."""

APPROVAL_PAUSE_SECONDS = 1.0
"""Seconds between two readings of an approval."""

UPLOAD_TIMEOUT_SECONDS = 120.0

MAX_SUMMARY_LENGTH = 256
"""Characters of the summary of reported activity; the rest is cut off (AGT-09)."""

MAX_ERROR_DETAIL_LENGTH = 4096
"""Characters of the error of reported activity; the rest is cut off (AGT-09)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A workspace that this one may talk to."""

    id: str
    name: str
    status: str
    role: str = ""
    description: str = ""
    skills: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The decision of a person, or of the plane if nobody decided in time."""

    id: str
    status: str
    """approved, denied, or pending if the wait ended first"""
    decided_by: str = ""


class WorkspaceTools:
    """What an agent may ask of the plane, on behalf of its own workspace."""

    def __init__(self, plane: PlaneClient, workspace_id: str) -> None:
        self._plane = plane
        self._workspace_id = workspace_id
        self._path = f"/workspaces/{workspace_id}"
        self._delegations = Delegations(plane, workspace_id)

    async def get_workspace_info(self) -> dict[str, Any]:
        """Return this workspace as the plane shows it."""
        found = await self._call("GET", self._path)
        return found if isinstance(found, dict) else {}

    async def list_peers(self, query: str = "") -> list[Peer]:
        """Return the workspaces that this one may talk to; `query` is a part of their name or role."""
        path = f"/registry/{self._workspace_id}/peers"
        found = await self._call("GET", path, query={"q": query} if query else None)
        return [_read_peer(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def delegate(self, target: str, task: str, *, timeout_seconds: float = DELEGATION_TIMEOUT_SECONDS) -> str:
        """Give a task to another workspace, by id or name, and return the text of its result.

        A task that fails, or that does not end in time, raises ToolError. In the second case it goes on, and the text
        names its id.
        """
        delegation_id = await self.delegate_async(target, task)
        done = await self._delegations.wait(delegation_id, timeout_seconds=timeout_seconds)
        if done.status == "completed":
            return done.text
        if done.has_ended:
            raise ToolError(f"delegation {delegation_id} {done.status}: {done.error or 'no reason was given'}")
        raise ToolError(f"delegation {delegation_id} is still {done.status} after {timeout_seconds:g} s")

    async def delegate_async(self, target: str, task: str) -> str:
        """Give a task to another workspace, by id or name, and return the id of the delegation at once."""
        return await self._delegations.submit(await self._find_target(target), task)

    async def check_task_status(self, delegation_id: str) -> Delegation:
        """Return a delegation with its status and, once it is completed, its whole text."""
        try:
            return await self._delegations.read(delegation_id)
        except PlaneUnreachable as error:
            raise ToolError(f"the plane cannot be reached: {error}") from error

    async def send_message_to_user(self, message: str, attachments: Sequence[str] = ()) -> None:
        """Send a message to the people who watch this workspace, with files that are named by their paths.

        The files are uploaded first. If one is missing or its upload fails, nothing is sent.
        """
        body: dict[str, Any] = {"message": message}
        if attachments:
            body["attachments"] = await self._upload(await asyncio.to_thread(read_attachments, attachments))
        await self._call("POST", f"{self._path}/notify", body=body)

    async def report_activity(
        self,
        summary: str,
        *,
        activity_type: str = "task_update",
        status: str = "ok",
        error_detail: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a row to the activity of this workspace."""
        body = {
            "activity_type": activity_type,
            "summary": summary[:MAX_SUMMARY_LENGTH],
            "status": status,
            "error_detail": error_detail[:MAX_ERROR_DETAIL_LENGTH] or None,
            "metadata": metadata,
        }
        await self._call("POST", f"{self._path}/activity", body=body)

    async def commit_memory(self, content: str, *, scope: str = "LOCAL", namespace: str = "general") -> str:
        """Store a memory and return its id. TEAM memories are shared with the parent and its other children."""
        body = {"content": content, "scope": scope, "namespace": namespace}
        made = await self._call("POST", f"{self._path}/memories", body=body)
        return str(made.get("id")) if isinstance(made, dict) else ""

    async def recall_memory(
        self, query: str = "", *, scope: str | None = None, namespace: str | None = None, limit: int = 10
    ) -> list[dict[str, Any]]:
        """Return the memories that fit best, or the newest ones without a `query`."""
        wanted: dict[str, str | int] = {"limit": limit}
        wanted |= {name: value for name, value in (("q", query), ("scope", scope), ("namespace", namespace)) if value}
        found = await self._call("GET", f"{self._path}/memories", query=wanted)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def request_approval(
        self,
        action: str,
        *,
        reason: str = "",
        context: Mapping[str, Any] | None = None,
        timeout_seconds: float = APPROVAL_TIMEOUT_SECONDS,
    ) -> Approval:
        """Ask a person to approve an action, and return the decision, or a pending approval when the time is over."""
        body: dict[str, Any] = {"action": action, "reason": reason}
        if context is not None:
            body["context"] = context
        made = await self._call("POST", f"{self._path}/approvals", body=body)
        approval_id = str(made.get("approval_id")) if isinstance(made, dict) else ""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            approval = await self._read_approval(approval_id)
            if approval.status != "pending" or asyncio.get_running_loop().time() >= deadline:
                return approval
            await asyncio.sleep(APPROVAL_PAUSE_SECONDS)

    async def _find_target(self, target: str) -> str:
        """Return the id of a workspace that is named by its id or its name."""
        peers = await self.list_peers()
        found = [peer.id for peer in peers if target in {peer.id, peer.name}]
        match found:
            case [only]:
                return only
            case []:
                names = ", ".join(sorted(peer.name for peer in peers)) or "none"
                raise ToolError(f"no peer is called {target!r}; the peers are: {names}")
            case _:
                raise ToolError(f"{len(found)} peers are called {target!r}; use an id: {', '.join(found)}")

    async def _upload(self, files: Sequence[UploadedFile]) -> list[dict[str, Any]]:
        form = [("files", file) for file in files]
        answer = await self._call(
            "POST", f"{self._path}/chat/uploads", files=form, timeout_seconds=UPLOAD_TIMEOUT_SECONDS
        )
        stored = answer.get("files") if isinstance(answer, dict) else None
        if not isinstance(stored, list) or len(stored) != len(files):
            raise ToolError("the upload of the attachments failed")
        return [{name: one[name] for name in ("uri", "name", "mimeType", "size") if name in one} for one in stored]

    async def _read_approval(self, approval_id: str) -> Approval:
        """Return the approval as it is now; one that cannot be read counts as pending."""
        try:
            rows = await self._plane.call("GET", f"{self._path}/approvals")
        except PlaneUnreachable:
            rows = []
        except PlaneError as error:
            raise ToolError(str(error)) from error
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and row.get("id") == approval_id:
                return Approval(id=approval_id, status=str(row["status"]), decided_by=str(row.get("decided_by") or ""))
        return Approval(id=approval_id, status="pending")

    async def _call(self, method: str, path: str, **request: Any) -> Any:  # noqa: ANN401 - any JSON
        try:
            return await self._plane.call(method, path, **request)
        except PlaneUnreachable as error:
            raise ToolError(f"the plane cannot be reached: {error}") from error
        except PlaneError as error:
            raise ToolError(str(error)) from error


def _read_peer(peer: Mapping[str, Any]) -> Peer:
    card = peer.get("agent_card")
    card = card if isinstance(card, dict) else {}
    skills = card.get("skills")
    return Peer(
        id=str(peer.get("id")),
        name=str(peer.get("name")),
        status=str(peer.get("status")),
        role=str(peer.get("role") or ""),
        description=str(card.get("description") or ""),
        skills=[str(skill.get("name")) for skill in skills if isinstance(skill, dict)]
        if isinstance(skills, list)
        else [],
    )
