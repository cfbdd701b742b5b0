"""The parent of every request body, and the types of its fields."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.errors import MalformedRequest
from gateway.ids import parse_workspace_id


class RequestModel(BaseModel):
    """A request body: strict about types, and without the members that it does not declare."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


def _check_workspace_id(text: str) -> str:
    try:
        return parse_workspace_id(text)
    except MalformedRequest:
        message = "Input should be a UUID"
        raise ValueError(message) from None


def _clamp_to_bits(bits: int) -> Callable[[int], int]:
    largest = 2 ** (bits - 1) - 1
    return lambda value: max(-largest, min(largest, value))


NonEmptyText = Annotated[str, Field(min_length=1)]

WorkspaceId = Annotated[str, AfterValidator(_check_workspace_id)]

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]

ClampedInt32 = Annotated[int, AfterValidator(_clamp_to_bits(32))]
"""A number that an agent reports; one beyond 32 bits is taken as the largest that fits, with its sign."""

ClampedInt64 = Annotated[int, AfterValidator(_clamp_to_bits(64))]
