"""The gRPC servicers: they convert between protobuf and the model and make no decisions."""

from protos.provisioner.v1 import files_pb2, files_pb2_grpc, images_pb2, images_pb2_grpc, logs_pb2, logs_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.provisioner import wire
from services.provisioner.files import FileService
from services.provisioner.images import ImageRefresher
from services.provisioner.logs import LogReader
from services.provisioner.model import WorkspaceId
from services.provisioner.reconciler import Reconciler


class ProvisionerServicer(rpc.ProvisionerServiceServicer):
    """Serves `ProvisionerService`."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def CheckInstance(self, request: pb.CheckInstanceRequest, context: Context) -> pb.CheckInstanceResponse:
        condition = await self._reconciler.check(WorkspaceId(request.workspace_id), request.generation)
        return pb.CheckInstanceResponse(condition=wire.condition_to_proto(condition))


class FileServicer(files_pb2_grpc.FileServiceServicer):
    """Serves `FileService`."""

    def __init__(self, files: FileService) -> None:
        self._files = files

    async def ReadDirectory(
        self, request: files_pb2.ReadDirectoryRequest, context: Context
    ) -> files_pb2.ReadDirectoryResponse:
        entries = await self._files.list(
            identity.current(), WorkspaceId(request.workspace_id), request.root, request.path, request.depth
        )
        return files_pb2.ReadDirectoryResponse(entries=[wire.file_entry_to_proto(entry) for entry in entries])

    async def ReadFile(self, request: files_pb2.ReadFileRequest, context: Context) -> files_pb2.ReadFileResponse:
        content = await self._files.read(
            identity.current(), WorkspaceId(request.workspace_id), request.root, request.path
        )
        return files_pb2.ReadFileResponse(content=content, size=len(content.encode()))

    async def WriteFile(self, request: files_pb2.WriteFileRequest, context: Context) -> files_pb2.WriteFileResponse:
        await self._files.write(
            identity.current(), WorkspaceId(request.workspace_id), request.root, request.path, request.content
        )
        return files_pb2.WriteFileResponse()

    async def ReplaceFiles(
        self, request: files_pb2.ReplaceFilesRequest, context: Context
    ) -> files_pb2.ReplaceFilesResponse:
        is_running = await self._files.replace(
            identity.current(), WorkspaceId(request.workspace_id), request.root, dict(request.files)
        )
        return files_pb2.ReplaceFilesResponse(is_running=is_running)

    async def DeleteFile(self, request: files_pb2.DeleteFileRequest, context: Context) -> files_pb2.DeleteFileResponse:
        await self._files.delete(identity.current(), WorkspaceId(request.workspace_id), request.root, request.path)
        return files_pb2.DeleteFileResponse()


class LogServicer(logs_pb2_grpc.LogServiceServicer):
    """Serves `LogService`."""

    def __init__(self, logs: LogReader) -> None:
        self._logs = logs

    async def ReadLogs(self, request: logs_pb2.ReadLogsRequest, context: Context) -> logs_pb2.ReadLogsResponse:
        tail = await self._logs.read(identity.current(), WorkspaceId(request.workspace_id), request.tail)
        return logs_pb2.ReadLogsResponse(backend=self._logs.backend_name, output=tail.output, truncated=tail.truncated)


class ImageServicer(images_pb2_grpc.ImageServiceServicer):
    """Serves `ImageService`."""

    def __init__(self, images: ImageRefresher) -> None:
        self._images = images

    async def RefreshImages(
        self, request: images_pb2.RefreshImagesRequest, context: Context
    ) -> images_pb2.RefreshImagesResponse:
        result = await self._images.refresh(request.runtime, recreate=request.recreate)
        return images_pb2.RefreshImagesResponse(pulled=result.pulled, failed=result.failed, recreated=result.recreated)
