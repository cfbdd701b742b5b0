"""The types of texts that have few values or a format: the document of the contract names them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import WithJsonSchema

from protos.registry.v1 import registry_pb2

DateTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in RFC 3339, in UTC."""


def _list_names(values: list[str], prefix: str) -> list[str]:
    """Return the public names of a contract's enum: lower case, without the prefix and the unspecified value."""
    names = [value.removeprefix(prefix).lower() for value in values]
    return [name for name in names if name != "unspecified"]


_STATUSES = _list_names(registry_pb2.WorkspaceStatus.keys(), "WORKSPACE_STATUS_")
_MODES = _list_names(registry_pb2.DeliveryMode.keys(), "DELIVERY_MODE_")

WorkspaceStatusName = Annotated[str, WithJsonSchema({"type": "string", "enum": _STATUSES})]
DeliveryModeName = Annotated[str, WithJsonSchema({"type": "string", "enum": _MODES})]
ApprovalStatusName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["pending", "approved", "denied"]})]
MemoryScopeName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["LOCAL", "TEAM", "GLOBAL"]})]
InstructionScopeName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["global", "workspace"]})]
SecretScopeName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["workspace", "global"]})]
TokenScopeName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["read", "write", "a2a", "admin"]})]
CallerKindName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["admin", "org", "workspace", "anonymous"]})]

CardSignatureName = Literal["unsigned", "unverified", "verified"]

CARD_SIGNATURES: Mapping[int, CardSignatureName] = {
    registry_pb2.CARD_SIGNATURE_UNSIGNED: "unsigned",
    registry_pb2.CARD_SIGNATURE_UNVERIFIED: "unverified",
    registry_pb2.CARD_SIGNATURE_VERIFIED: "verified",
}
"""What the signatures of a card prove; without an entry, the plane says nothing about them."""
