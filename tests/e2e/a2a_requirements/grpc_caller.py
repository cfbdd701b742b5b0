"""A caller of the gRPC binding of 1.0."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import httpx
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.e2e.a2a_requirements.caller import Address, Caller
from tests.e2e.a2a_requirements.reply import DOMAIN, JsonObject, Reply

METHODS = {
    "send": ("SendMessage", pb.SendMessageRequest),
    "stream": ("SendStreamingMessage", pb.SendMessageRequest),
    "get": ("GetTask", pb.GetTaskRequest),
    "list": ("ListTasks", pb.ListTasksRequest),
    "cancel": ("CancelTask", pb.CancelTaskRequest),
    "subscribe": ("SubscribeToTask", pb.SubscribeToTaskRequest),
    "push set": ("CreateTaskPushNotificationConfig", pb.TaskPushNotificationConfig),
    "push get": ("GetTaskPushNotificationConfig", pb.GetTaskPushNotificationConfigRequest),
    "push list": ("ListTaskPushNotificationConfigs", pb.ListTaskPushNotificationConfigsRequest),
    "push delete": ("DeleteTaskPushNotificationConfig", pb.DeleteTaskPushNotificationConfigRequest),
    "card": ("GetExtendedAgentCard", pb.GetExtendedAgentCardRequest),
}

REASONS_BY_CODE = {"INVALID_ARGUMENT": "INVALID_PARAMS", "UNIMPLEMENTED": "METHOD_NOT_FOUND"}
"""What an error without a reason of A2A means, by its code."""

DETAILS = "grpc-status-details-bin"


class Grpc(Caller):
    """Speaks gRPC of 1.0."""

    name, generation, binding, version = "gRPC 1.0", "1.0", "gRPC", "1.0"

    def __init__(self, http: httpx.AsyncClient, address: Address) -> None:
        super().__init__(http, address)
        self._channel = grpc.aio.insecure_channel(address.grpc)

    async def close(self) -> None:
        await self._channel.close()

    async def call(self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None) -> Reply:
        call = self._start(operation, params, headers)
        try:
            return self._read(await call)
        except grpc.aio.AioRpcError as error:
            return read_error(error)

    async def events(
        self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        call = self._start(operation, params, headers)
        try:
            async for message in call:
                yield self._read(message)
        except grpc.aio.AioRpcError as error:
            yield read_error(error)
        finally:
            call.cancel()

    def _start(self, operation: str, params: JsonObject, headers: Mapping[str, str] | None) -> Any:
        method, kind = METHODS[operation]
        request = ParseDict(params, kind(), ignore_unknown_fields=True)
        request.tenant = self.address.tenant
        metadata = [(name.lower(), value) for name, value in self.build_headers(headers).items()]
        return getattr(A2AServiceStub(self._channel), method)(request, metadata=metadata, timeout=20)

    def _read(self, message: Message) -> Reply:
        value = MessageToDict(message)
        if isinstance(message, pb.ListTasksResponse):
            value = {"nextPageToken": "", "totalSize": 0, "pageSize": 0, "tasks": [], **value}
        return Reply(value=value, raw=value, status="OK")


def read_error(error: grpc.aio.AioRpcError) -> Reply:
    """Return an error of gRPC as a reply."""
    code = error.code().name
    infos = read_error_infos(error)
    reason = next((info.reason for info in infos if info.domain == DOMAIN), "")
    details = [MessageToDict(info) for info in infos]
    return Reply(
        reason=reason or REASONS_BY_CODE.get(code, code),
        raw={"code": code, "message": error.details(), "details": details},
        status=code,
    )


def read_error_infos(error: grpc.aio.AioRpcError) -> list[error_details_pb2.ErrorInfo]:
    """Return the `ErrorInfo` messages in the details of an error."""
    infos = []
    for name, value in error.trailing_metadata() or ():
        if name != DETAILS:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                infos.append(info)
    return infos
