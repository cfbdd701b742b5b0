"""A client that speaks gRPC of A2A 1.0 by the generated stub."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tests.e2e.a2a_matrix.clients import CONFIG_ID, CURRENT_METHODS, WEBHOOK, Client, Refused, build_current_message

REQUESTS = {
    "send": pb.SendMessageRequest,
    "stream": pb.SendMessageRequest,
    "get": pb.GetTaskRequest,
    "list": pb.ListTasksRequest,
    "cancel": pb.CancelTaskRequest,
    "subscribe": pb.SubscribeToTaskRequest,
    "push set": pb.TaskPushNotificationConfig,
    "push get": pb.GetTaskPushNotificationConfigRequest,
    "push list": pb.ListTaskPushNotificationConfigsRequest,
    "push delete": pb.DeleteTaskPushNotificationConfigRequest,
    "card": pb.GetExtendedAgentCardRequest,
}


class GrpcClient(Client):
    """Speaks gRPC of 1.0."""

    name = "gRPC 1.0"
    operations = tuple(CURRENT_METHODS)

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        """`url` is the address, and after a slash the tenant."""
        super().__init__(http, url)
        self._address, _, self._tenant = url.partition("/")

    async def call(self, operation: str, *, task_id: str = "", text: str = "") -> Any:
        async with grpc.aio.insecure_channel(self._address) as channel:
            method = getattr(A2AServiceStub(channel), CURRENT_METHODS[operation])
            try:
                return MessageToDict(await method(self._build(operation, task_id, text)))
            except grpc.aio.AioRpcError as error:
                raise Refused(_find_reason(error)) from error

    async def events(self, operation: str, *, task_id: str = "", text: str = "") -> AsyncIterator[Any]:
        async with grpc.aio.insecure_channel(self._address) as channel:
            method = getattr(A2AServiceStub(channel), CURRENT_METHODS[operation])
            try:
                async for event in method(self._build(operation, task_id, text)):
                    yield MessageToDict(event)
            except grpc.aio.AioRpcError as error:
                raise Refused(_find_reason(error)) from error

    def _build(self, operation: str, task_id: str, text: str) -> Any:
        members: dict[str, Any] = {"tenant": self._tenant}
        match operation:
            case "send" | "stream":
                members["message"] = build_current_message(text)
                members["configuration"] = {"returnImmediately": self.returns_immediately}
            case "push set":
                members |= {"taskId": task_id, "id": CONFIG_ID, "url": WEBHOOK}
            case "push get" | "push delete":
                members |= {"taskId": task_id, "id": CONFIG_ID}
            case "push list":
                members["taskId"] = task_id
            case "get" | "cancel" | "subscribe":
                members["id"] = task_id
        return ParseDict(members, REQUESTS[operation]())


def _find_reason(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of an error of A2A, else its code of gRPC."""
    trailers = dict(error.trailing_metadata() or ())
    for detail in Status.FromString(trailers.get("grpc-status-details-bin", b"")).details:
        info = ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return error.code().name
