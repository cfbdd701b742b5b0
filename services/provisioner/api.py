"""The servicers: they speak protobuf and decide nothing."""

from protos.provisioner.v1 import logs_pb2, logs_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2 as pb
from protos.provisioner.v1 import provisioner_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.provisioner import wire
from services.provisioner.logs import Logs
from services.provisioner.model import WorkspaceId
from services.provisioner.reconciler import Reconciler


class ProvisionerServicer(rpc.ProvisionerServiceServicer):
    """Answers for the instances."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def CheckInstance(self, request: pb.CheckInstanceRequest, context: Context) -> pb.CheckInstanceResponse:
        found = await self._reconciler.check(WorkspaceId(request.workspace_id), request.generation)
        return pb.CheckInstanceResponse(condition=wire.condition_to(found))


class LogServicer(logs_pb2_grpc.LogServiceServicer):
    """Answers for what the instances have written."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def ReadLogs(self, request: logs_pb2.ReadLogsRequest, context: Context) -> logs_pb2.ReadLogsResponse:
        found = await self._logs.read(identity.current(), WorkspaceId(request.workspace_id), request.tail)
        return logs_pb2.ReadLogsResponse(backend=self._logs.backend, output=found.output, truncated=found.truncated)
