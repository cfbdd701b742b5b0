"""Routes of the model of a workspace."""

from gateway.guards import READ, WRITE
from gateway.request_body import BodySpec
from gateway.route import Call, Route
from gateway.schemas.models import ChosenModel, ModelChoice, ModelChoiceResult
from protos.registry.v1 import models_pb2 as pb
from protos.registry.v1 import models_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel

PATH = "/workspaces/{id}/model"


class ModelRoutes:
    """Routes to the registry."""

    def __init__(self, registry: ServiceChannel) -> None:
        self._registry = registry
        self._stub = rpc.ModelServiceStub(registry.channel)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path=PATH,
                handler=self.get,
                summary="The model that was chosen for a workspace",
                guard=READ,
                answer=ChosenModel,
                refusal_statuses=frozenset({404}),
            ),
            Route(
                method="PUT",
                path=PATH,
                handler=self.choose,
                summary="Choose the model of a workspace; a change restarts it",
                guard=WRITE,
                body=BodySpec(model=ModelChoice),
                answer=ModelChoiceResult,
                refusal_statuses=frozenset({404, 410, 422}),
            ),
            Route(
                method="DELETE",
                path=PATH,
                handler=self.clear,
                summary="Leave the model to the agent; a change restarts it",
                guard=WRITE,
                answer=ModelChoiceResult,
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def get(self, call: Call) -> object:
        """Return the chosen model."""
        request = pb.GetModelRequest(workspace_id=call.workspace_id)
        reply: pb.GetModelResponse = await self._registry.call(self._stub.GetModel, request, on_behalf_of=call.identity)
        return ChosenModel(model=reply.model, source="workspace_secrets" if reply.model else "default")

    async def choose(self, call: Call) -> object:
        """Choose a model; an empty one clears the choice."""
        await self._choose(call, call.body.model)
        if not call.body.model:
            return ModelChoiceResult(status="cleared")
        return ModelChoiceResult(model=call.body.model, status="saved")

    async def clear(self, call: Call) -> object:
        """Clear the choice."""
        await self._choose(call, "")
        return ModelChoiceResult(status="cleared")

    async def _choose(self, call: Call, model: str) -> None:
        request = pb.SetModelRequest(workspace_id=call.workspace_id, model=model)
        await self._registry.call(self._stub.SetModel, request, on_behalf_of=call.identity)
