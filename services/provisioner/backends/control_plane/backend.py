"""The backend `control_plane`: a provisioner on other machines runs the instances, and is asked over HTTP."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from services.provisioner.backends.base import Backend, BackendConfig
from services.provisioner.backends.control_plane import messages
from services.provisioner.backends.control_plane.http_client import ControlPlaneClient, unreadable
from services.provisioner.backends.control_plane.messages import InvalidMessage
from services.provisioner.control_plane_options import ControlPlaneOptions
from services.provisioner.errors import BackendUnavailable, NoBackend
from services.provisioner.file_rules import MAX_ENTRIES
from services.provisioner.model import FileContent, FileEntry, FilePath, FileRoot, Instance, LogTail, Spec, WorkspaceId

START_TIMEOUT = timedelta(seconds=50)
"""How long a start may take. It is shorter than a step of the reconciler, which repeats the request."""

MAX_LOG_ANSWER_BYTES = 4 * 1024 * 1024
"""Bytes of an answer with half a MiB of output: JSON may need six bytes for one."""

MAX_FILE_ANSWER_BYTES = 12 * 1024 * 1024
"""Bytes of an answer with the largest file, which base64 makes longer by a third, or with 2000 long paths."""

MAX_PAGES = 1_000
"""Pages of one list; a control plane that sends more repeats itself."""

MAX_STREAM_SILENCE = timedelta(seconds=20)
"""How long the stream of exits may be silent; the control plane sends a sign of life every five seconds."""


class ControlPlaneBackend:
    """Asks the control plane for everything, and remembers nothing.

    A workspace without an id has no instance anywhere, so stopping it is a success that needs no request.
    """

    name = "control_plane"
    starts_instances = True

    def __init__(self, options: ControlPlaneOptions) -> None:
        self._options = options
        self._client = ControlPlaneClient(options)

    async def start(self, spec: Spec) -> Instance:
        body = messages.spec_to_json(spec)
        path = _build_path(spec.workspace_id)
        answer = await self._request("PUT", path, body=body, timeout=START_TIMEOUT)
        started = self._read_instance(path, answer, spec.workspace_id)
        if started is None:
            raise BackendUnavailable
        return started

    async def stop(self, workspace_id: WorkspaceId) -> None:
        if workspace_id:
            await self._request("POST", f"{_build_path(workspace_id)}/stop")

    async def discard(self, workspace_id: WorkspaceId) -> None:
        await self.stop(workspace_id)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        if workspace_id:
            await self._request("DELETE", _build_path(workspace_id))

    async def get(self, workspace_id: WorkspaceId) -> Instance | None:
        if not workspace_id:
            return None
        path = f"{_build_path(workspace_id)}/status"
        return self._read_instance(path, await self._request("GET", path), workspace_id)

    async def list(self) -> Sequence[Instance]:
        path, found, query = "/cp/workspaces", dict[WorkspaceId, Instance](), dict[str, str]()
        for _ in range(MAX_PAGES):
            try:
                instances, following = messages.read_page(await self._request("GET", path, query=query))
            except InvalidMessage as error:
                raise unreadable(path, error) from error
            found |= {instance.workspace_id: self._readdress(instance) for instance in instances}
            if following is None:
                return list(found.values())
            query = {"after": following}
        raise unreadable(path, InvalidMessage("the list has no end"))

    async def read_logs(self, workspace_id: WorkspaceId, lines: int) -> LogTail | None:
        path = f"{_build_path(workspace_id)}/logs"
        answer = await self._request("GET", path, query={"lines": str(lines)}, max_bytes=MAX_LOG_ANSWER_BYTES)
        try:
            return messages.read_log(answer)
        except InvalidMessage as error:
            raise unreadable(path, error) from error

    async def list_files(
        self, workspace_id: WorkspaceId, root: FileRoot, directory: FilePath, depth: int
    ) -> Sequence[FileEntry]:
        path = f"{_build_path(workspace_id)}/files"
        query = {"root": root.value, "directory": "/".join(directory), "depth": str(depth)}
        answer = await self._request("GET", path, query=query, max_bytes=MAX_FILE_ANSWER_BYTES)
        try:
            return messages.read_entries(answer, MAX_ENTRIES)
        except InvalidMessage as error:
            raise unreadable(path, error) from error

    async def read_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> bytes:
        url, query = f"{_build_path(workspace_id)}/file", {"root": root.value, "path": "/".join(path)}
        answer = await self._request("GET", url, query=query, max_bytes=MAX_FILE_ANSWER_BYTES)
        try:
            return messages.read_content(answer)
        except InvalidMessage as error:
            raise unreadable(url, error) from error

    async def write_files(
        self, workspace_id: WorkspaceId, root: FileRoot, files: Mapping[FilePath, FileContent]
    ) -> None:
        body = {"root": root.value, "files": messages.files_to_json(files)}
        await self._request("PUT", f"{_build_path(workspace_id)}/files", body=body)

    async def delete_file(self, workspace_id: WorkspaceId, root: FileRoot, path: FilePath) -> None:
        query = {"root": root.value, "path": "/".join(path)}
        await self._request("DELETE", f"{_build_path(workspace_id)}/file", query=query)

    async def watch_exits(self) -> AsyncGenerator[WorkspaceId, None]:
        self._require_configuration()
        path = "/cp/exits"
        async with aclosing(self._client.read_lines(path, max_silence=MAX_STREAM_SILENCE)) as lines:
            async for line in lines:
                try:
                    workspace_id = messages.read_exit(line)
                except InvalidMessage as error:
                    raise unreadable(path, error) from error
                if workspace_id is not None:
                    yield workspace_id

    async def close(self) -> None:
        await self._client.close()

    async def _request(self, method: str, path: str, **details: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the client's
        self._require_configuration()
        return await self._client.request(method, path, **details)

    def _require_configuration(self) -> None:
        """Raise `NoBackend` without an address or a credential, before anything is sent."""
        if not (self._options.url and self._options.token):
            raise NoBackend

    def _read_instance(self, path: str, answer: Mapping[str, Any], workspace_id: WorkspaceId) -> Instance | None:
        try:
            instance = messages.read_instance(answer, workspace_id)
        except InvalidMessage as error:
            raise unreadable(path, error) from error
        return None if instance is None else self._readdress(instance)

    def _readdress(self, instance: Instance) -> Instance:
        """Return the instance with the address of its tenant, if agents are reached below a domain (PROV-11)."""
        if not (self._options.tenant_domain and instance.address):
            return instance
        return replace(instance, address=f"https://{instance.workspace_id}.{self._options.tenant_domain}")


def create_backend(config: BackendConfig) -> Backend:
    return ControlPlaneBackend(config.control_plane)


def _build_path(workspace_id: WorkspaceId) -> str:
    return f"/cp/workspaces/{quote(workspace_id, safe='')}"
