"""Request bodies: read up to a cap, parsed strictly, checked against what the route takes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NoReturn, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from gateway.errors import MalformedRequest, RequestTooLarge
from gateway.json_format import encode_json
from gateway.limits import MAX_BODY_BYTES, MAX_CARD_BYTES
from services.chassis.errors import ServiceError

READ_TIMEOUT_SECONDS = 30.0
"""Seconds in which a body has to be here."""

MAX_DETAIL_LENGTH = 200
"""Characters of a detail: it quotes names that the client chose."""

INVALID_WORKSPACE_ID = "invalid workspace ID"

B = TypeVar("B", bound="RequestModel")


class RequestModel(BaseModel):
    """What a route takes: strict about types, blind to what it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


def parse_workspace_id(text: str) -> str:
    """`text` as the plane writes the ids of workspaces; raises `MalformedRequest` for what is none."""
    return parse_uuid(text, INVALID_WORKSPACE_ID)


def parse_uuid(text: str, refusal: str) -> str:
    """`text` as the plane writes ids; raises `MalformedRequest` with `refusal` for what is none."""
    if len(text) != UUID_LENGTH:
        raise MalformedRequest(refusal)
    try:
        canonical = str(UUID(text))
    except ValueError:
        raise MalformedRequest(refusal) from None
    if canonical != text.lower():
        raise MalformedRequest(refusal)
    return canonical


UUID_LENGTH = 36

ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL, not the escape of a backslash in front of `u0000`."""


def _check_workspace_id(text: str) -> str:
    try:
        return parse_workspace_id(text)
    except MalformedRequest:
        message = "Input should be a UUID"
        raise ValueError(message) from None


def _clamp_to_bits(bits: int) -> Callable[[int], int]:
    top = 2 ** (bits - 1) - 1
    return lambda value: max(-top, min(top, value))


NonEmptyText = Annotated[str, Field(min_length=1)]
"""A string that has to be there."""

WorkspaceId = Annotated[str, AfterValidator(_check_workspace_id)]
"""The id of a workspace."""

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]

ClampedInt32 = Annotated[int, AfterValidator(_clamp_to_bits(32))]
"""A number that an agent reports; one too large to be carried is as good as the largest."""

ClampedInt64 = Annotated[int, AfterValidator(_clamp_to_bits(64))]
"""The same with more room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFault:
    """The first thing wrong with a body."""

    field: str = ""
    detail: str = "not valid JSON"
    kind: str = ""
    """What pydantic calls it."""


FaultToError = Callable[[BodyFault], ServiceError]


def refuse_malformed(_: BodyFault) -> ServiceError:
    """Refuse with the text of every route that has none of its own."""
    return MalformedRequest()


def refuse_with_text(message: str) -> FaultToError:
    """Refuse with one text, whatever is wrong."""
    return lambda _: MalformedRequest(message)


def refuse_with_detail(fault: BodyFault) -> ServiceError:
    """Refuse as the routes for agents do: an agent author needs to know what is wrong."""
    detail = f"{fault.field}: {fault.detail}" if fault.field else fault.detail
    return MalformedRequest(
        "invalid request body", details={"reason": "invalid_body", "detail": detail[:MAX_DETAIL_LENGTH]}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySpec(Generic[B]):
    """What a route takes, and how it refuses anything else."""

    shape: type[B]
    refusal: FaultToError = refuse_malformed
    required: bool = True
    cap: int = MAX_BODY_BYTES
    oversize: str = ""

    async def of(self, request: Request) -> B:
        """The body of `request`, checked."""
        raw = await self._read(request)
        if not raw and not self.required:
            return self.shape()
        return self.checked(raw)

    def checked(self, raw: bytes) -> B:
        """`raw` as the shape; raises what the route refuses with."""
        value = self._parsed(raw)
        try:
            return self.shape.model_validate(value)
        except ValidationError as error:
            self._refuse(error)

    async def _read(self, request: Request) -> bytes:
        try:
            return await read_body(request, self.cap)
        except RequestTooLarge:
            if not self.oversize:
                raise
            raise RequestTooLarge(self.oversize) from None

    def _parsed(self, raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
        try:
            return parse_json(raw)
        except ValueError:
            raise self.refusal(BodyFault()) from None

    def _refuse(self, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        fault = BodyFault(field=".".join(str(step) for step in first["loc"]), detail=first["msg"], kind=first["type"])
        raise self.refusal(fault) from None


async def read_body(request: Request, cap: int) -> bytes:
    """The bytes of the body; raises `RequestTooLarge` as soon as they are known to be over `cap`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > cap:
        raise body_too_large(cap)
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await _collect_chunks(request.stream(), cap)
    except TimeoutError:
        raise MalformedRequest from None


async def _collect_chunks(stream: AsyncIterator[bytes], cap: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > cap:
            raise body_too_large(cap)
        chunks.append(chunk)
    return b"".join(chunks)


def body_too_large(cap: int) -> RequestTooLarge:
    """The refusal of a body over `cap`."""
    return RequestTooLarge(details={"max_bytes": cap})


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """The JSON value of `raw`; raises `ValueError` for what is not JSON, or cannot be passed on as JSON.

    Refused besides: numbers that are none, halves of surrogate pairs, NUL characters and nesting without end:
    each parses, and none survives the way through a database and back.
    """
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
        if b"\\u" in raw:
            _refuse_nul(value)
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None
    return value


def _refuse_constant(text: str) -> NoReturn:
    message = f"{text} is not JSON"
    raise ValueError(message)


def _refuse_nul(value: object) -> None:
    if ESCAPED_NUL.search(encode_json(value)):
        message = "NUL cannot be stored"
        raise ValueError(message)


def encode_payload(value: object, refusal: FaultToError = refuse_malformed) -> bytes:
    """A client's own JSON as it is stored; refused with numbers beyond what JSON readers know."""
    try:
        return encode_json(value)
    except (ValueError, RecursionError):
        raise refusal(BodyFault()) from None


def encode_agent_card(value: dict[str, Any]) -> bytes:
    """An agent card as it is stored; raises `RequestTooLarge` over its cap."""
    try:
        encoded = encode_json(value)
    except (ValueError, RecursionError):
        raise refuse_with_detail(BodyFault(field="agent_card", detail="a number is out of range")) from None
    if len(encoded) > MAX_CARD_BYTES:
        raise RequestTooLarge("agent_card too large", details={"max_bytes": MAX_CARD_BYTES})
    return encoded
