"""The gRPC servicer of ModelService."""

from protos.registry.v1 import models_pb2 as pb
from protos.registry.v1 import models_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.rpc import Context
from services.registry.directory.model_choice import ModelChoice
from services.registry.workspace.model import WorkspaceId


class ModelServicer(rpc.ModelServiceServicer):
    """Converts between protobuf and `ModelChoice`."""

    def __init__(self, models: ModelChoice) -> None:
        self._models = models

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        model = await self._models.get(identity.current(), WorkspaceId(request.workspace_id))
        return pb.GetModelResponse(model=model or "")

    async def SetModel(self, request: pb.SetModelRequest, context: Context) -> pb.SetModelResponse:
        await self._models.choose(identity.current(), WorkspaceId(request.workspace_id), request.model or None)
        return pb.SetModelResponse()
