"""The methods of the A2A service: their operations and messages."""

from dataclasses import dataclass

from a2a.types import a2a_pb2
from google.protobuf import empty_pb2, message_factory
from google.protobuf.message import Message

from molecule_a2a.methods import STREAMING_OPERATIONS
from molecule_a2a.model import Operation

SERVICE = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcMethod:
    """One method of the service."""

    operation: Operation
    path: str
    """What the client calls: `/lf.a2a.v1.A2AService/GetTask`."""
    request: type[Message]
    answer: type[Message]

    @property
    def is_streaming(self) -> bool:
        """Whether the answer is a stream."""
        return self.operation in STREAMING_OPERATIONS

    @property
    def has_answer(self) -> bool:
        """Whether the answer says more than that the request succeeded."""
        return self.answer is not empty_pb2.Empty


METHODS = {
    method.path: method
    for method in (
        RpcMethod(
            operation=Operation(one.name),
            path=f"/{SERVICE.full_name}/{one.name}",
            request=message_factory.GetMessageClass(one.input_type),
            answer=message_factory.GetMessageClass(one.output_type),
        )
        for one in SERVICE.methods
    )
}
"""The methods by their paths. Operations have the names of the methods."""

LEGACY_SERVICE = "/a2a.v1.A2AService/"
"""How the paths of A2A 0.2 and 0.3 begin, whose messages are others and name no workspace."""
