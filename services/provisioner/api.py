"""The gRPC servicers: they convert between protobuf and the model and make no decisions."""

from protos.provisioner.v1 import logs_pb2, logs_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.provisioner import wire
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


class LogServicer(logs_pb2_grpc.LogServiceServicer):
    """Serves `LogService`."""

    def __init__(self, logs: LogReader) -> None:
        self._logs = logs

    async def ReadLogs(self, request: logs_pb2.ReadLogsRequest, context: Context) -> logs_pb2.ReadLogsResponse:
        tail = await self._logs.read(identity.current(), WorkspaceId(request.workspace_id), request.tail)
        return logs_pb2.ReadLogsResponse(backend=self._logs.backend_name, output=tail.output, truncated=tail.truncated)
