"""Routes of the files of workspaces."""

from datetime import timedelta

from gateway.errors import MalformedRequest
from gateway.guards import READ, WRITE
from gateway.limits import MAX_BULK_BODY_BYTES, MAX_FILES_BYTES
from gateway.query_params import parse_natural_number
from gateway.request_body import BodySpec, body_too_large
from gateway.route import Call, Route
from gateway.schemas.files import (
    DeletedFile,
    FileContent,
    FileItem,
    FilesContent,
    ReplacedFiles,
    SavedFile,
    TextFile,
    render_entry,
)
from protos.provisioner.v1 import files_pb2 as pb
from protos.provisioner.v1 import files_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PATH = "/workspaces/{id}/files"

ROOT_PARAMETER = {"root": "/configs (if left out), /workspace, /home or /plugins"}

LIST_PARAMETERS = {
    **ROOT_PARAMETER,
    "path": "A directory below the root; the root itself if left out",
    "depth": "Levels, 1 to 5; 1 if left out",
}

MAX_DEPTH_NUMBER = 1000
"""The provisioner knows the limit; a larger number does not fit its request."""

FILE_TIMEOUT = timedelta(seconds=20)
"""Time for the files of one call."""


class FileRoutes:
    """Routes to the provisioner."""

    def __init__(self, provisioner: ServiceChannel) -> None:
        self._provisioner = provisioner
        self._stub = rpc.FileServiceStub(provisioner.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path=PATH,
                handler=self.list_files,
                summary="The files and directories of a workspace",
                guard=READ,
                query=LIST_PARAMETERS,
                answer=list[FileItem],
                refusal_statuses=frozenset({400, 404, 502}),
            ),
            Route(
                method="PUT",
                path=PATH,
                handler=self.replace,
                summary="Write several files of a workspace",
                guard=WRITE,
                query=ROOT_PARAMETER,
                body=BodySpec(model=FilesContent, max_bytes=MAX_BULK_BODY_BYTES),
                answer=ReplacedFiles,
                refusal_statuses=frozenset({400, 404, 409, 502}),
            ),
            Route(
                method="GET",
                path=f"{PATH}/{{path:path}}",
                handler=self.read,
                summary="A text file of a workspace",
                guard=READ,
                query=ROOT_PARAMETER,
                answer=TextFile,
                refusal_statuses=frozenset({400, 404, 413, 422, 502}),
            ),
            Route(
                method="PUT",
                path=f"{PATH}/{{path:path}}",
                handler=self.write,
                summary="Write a file of a workspace",
                guard=WRITE,
                query=ROOT_PARAMETER,
                body=BodySpec(model=FileContent),
                answer=SavedFile,
                refusal_statuses=frozenset({400, 404, 409, 502}),
            ),
            Route(
                method="DELETE",
                path=f"{PATH}/{{path:path}}",
                handler=self.delete,
                summary="Delete a file of a workspace",
                guard=WRITE,
                query=ROOT_PARAMETER,
                answer=DeletedFile,
                refusal_statuses=frozenset({400, 404, 502}),
            ),
        ]

    async def list_files(self, call: Call) -> object:
        """List files and directories."""
        depth = parse_natural_number(call.query.get("depth", "1"))
        if depth is None:
            raise MalformedRequest("depth must be 1-5")
        request = pb.ReadDirectoryRequest(
            workspace_id=call.workspace_id,
            root=call.query.get("root", ""),
            path=call.query.get("path", ""),
            depth=min(depth, MAX_DEPTH_NUMBER),
        )
        reply: pb.ReadDirectoryResponse = await self._provisioner.call(
            self._stub.ReadDirectory, request, on_behalf_of=call.identity, timeout=FILE_TIMEOUT
        )
        return [render_entry(entry) for entry in reply.entries]

    async def read(self, call: Call) -> object:
        """Read a text file."""
        path = call.path["path"]
        request = pb.ReadFileRequest(workspace_id=call.workspace_id, root=call.query.get("root", ""), path=path)
        reply: pb.ReadFileResponse = await self._provisioner.call(
            self._stub.ReadFile, request, on_behalf_of=call.identity, timeout=FILE_TIMEOUT
        )
        return TextFile(path=path, content=reply.content, size=reply.size)

    async def write(self, call: Call) -> object:
        """Write a file; the agent is not restarted."""
        path = call.path["path"]
        request = pb.WriteFileRequest(
            workspace_id=call.workspace_id, root=call.query.get("root", ""), path=path, content=call.body.content
        )
        await self._provisioner.call(self._stub.WriteFile, request, on_behalf_of=call.identity, timeout=FILE_TIMEOUT)
        return SavedFile(path=path, status="saved")

    async def replace(self, call: Call) -> object:
        """Write several files; others stay, and the agent is not restarted."""
        files = call.body.files
        if sum(len(path.encode()) + len(text.encode()) for path, text in files.items()) > MAX_FILES_BYTES:
            raise body_too_large(MAX_FILES_BYTES)
        request = pb.ReplaceFilesRequest(workspace_id=call.workspace_id, root=call.query.get("root", ""), files=files)
        reply: pb.ReplaceFilesResponse = await self._provisioner.call(
            self._stub.ReplaceFiles, request, on_behalf_of=call.identity, timeout=FILE_TIMEOUT
        )
        return ReplacedFiles(
            status="replaced",
            workspace=call.workspace_id,
            files=len(files),
            source="container" if reply.is_running else "volume",
        )

    async def delete(self, call: Call) -> object:
        """Delete a file."""
        path = call.path["path"]
        request = pb.DeleteFileRequest(workspace_id=call.workspace_id, root=call.query.get("root", ""), path=path)
        await self._provisioner.call(self._stub.DeleteFile, request, on_behalf_of=call.identity, timeout=FILE_TIMEOUT)
        return DeletedFile(path=path, status="deleted")
