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

from gateway.errors import Malformed, TooLarge
from gateway.limits import BODY_CAP, CARD_CAP
from gateway.render.texts import compact
from services.chassis.errors import ServiceError

PATIENCE = 30.0
"""Seconds in which a body has to be here."""

DETAIL_LIMIT = 200
"""Characters of a detail: it quotes names that the client chose."""

INVALID_ID = "invalid workspace ID"

B = TypeVar("B", bound="Shape")


class Shape(BaseModel):
    """What a route takes: strict about types, blind to what it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


def workspace_id(text: str) -> str:
    """`text` as the plane writes the ids of workspaces; raises `Malformed` for what is none."""
    return uuid(text, INVALID_ID)


def uuid(text: str, refusal: str) -> str:
    """`text` as the plane writes ids; raises `Malformed` with `refusal` for what is none."""
    if len(text) != UUID_LENGTH:
        raise Malformed(refusal)
    try:
        canonical = str(UUID(text))
    except ValueError:
        raise Malformed(refusal) from None
    if canonical != text.lower():
        raise Malformed(refusal)
    return canonical


UUID_LENGTH = 36

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL, not the escape of a backslash in front of `u0000`."""


def _uuid(text: str) -> str:
    try:
        return workspace_id(text)
    except Malformed:
        message = "Input should be a UUID"
        raise ValueError(message) from None


def _fitting(bits: int) -> Callable[[int], int]:
    top = 2 ** (bits - 1) - 1
    return lambda value: max(-top, min(top, value))


Name = Annotated[str, Field(min_length=1)]
"""A string that has to be there."""

Id = Annotated[str, AfterValidator(_uuid)]
"""The id of a workspace."""

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]

Count = Annotated[int, AfterValidator(_fitting(32))]
"""A number that an agent reports; one too large to be carried is as good as the largest."""

Total = Annotated[int, AfterValidator(_fitting(64))]
"""The same with more room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first thing wrong with a body."""

    field: str = ""
    detail: str = "not valid JSON"
    kind: str = ""
    """What pydantic calls it."""


Refusal = Callable[[Fault], ServiceError]


def plainly(_: Fault) -> ServiceError:
    """Refuse with the text of every route that has none of its own."""
    return Malformed()


def saying(message: str) -> Refusal:
    """Refuse with one text, whatever is wrong."""
    return lambda _: Malformed(message)


def in_detail(fault: Fault) -> ServiceError:
    """Refuse as the routes for agents do: an agent author needs to know what is wrong."""
    detail = f"{fault.field}: {fault.detail}" if fault.field else fault.detail
    return Malformed("invalid request body", details={"reason": "invalid_body", "detail": detail[:DETAIL_LIMIT]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Body(Generic[B]):
    """What a route takes, and how it refuses anything else."""

    shape: type[B]
    refusal: Refusal = plainly
    required: bool = True
    cap: int = BODY_CAP
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
            return await read(request, self.cap)
        except TooLarge:
            if not self.oversize:
                raise
            raise TooLarge(self.oversize) from None

    def _parsed(self, raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
        try:
            return parsed(raw)
        except ValueError:
            raise self.refusal(Fault()) from None

    def _refuse(self, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        fault = Fault(field=".".join(str(step) for step in first["loc"]), detail=first["msg"], kind=first["type"])
        raise self.refusal(fault) from None


async def read(request: Request, cap: int) -> bytes:
    """The bytes of the body; raises `TooLarge` as soon as they are known to be over `cap`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > cap:
        raise too_large(cap)
    try:
        async with asyncio.timeout(PATIENCE):
            return await _collected(request.stream(), cap)
    except TimeoutError:
        raise Malformed from None


async def _collected(stream: AsyncIterator[bytes], cap: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > cap:
            raise too_large(cap)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(cap: int) -> TooLarge:
    """The refusal of a body over `cap`."""
    return TooLarge(details={"max_bytes": cap})


def parsed(raw: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """The JSON value of `raw`; raises `ValueError` for what is not JSON, or cannot be passed on as JSON.

    Refused besides: numbers that are none, halves of surrogate pairs, NUL characters and nesting without end:
    each parses, and none survives the way through a database and back.
    """
    try:
        value = json.loads(raw.decode(), parse_constant=_no_number)
        if b"\\u" in raw:
            _carried(value)
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None
    return value


def _no_number(text: str) -> NoReturn:
    message = f"{text} is not JSON"
    raise ValueError(message)


def _carried(value: object) -> None:
    if NUL.search(compact(value)):
        message = "NUL cannot be stored"
        raise ValueError(message)


def payload(value: object, refusal: Refusal = plainly) -> bytes:
    """A client's own JSON as it is stored; refused with numbers beyond what JSON readers know."""
    try:
        return compact(value)
    except (ValueError, RecursionError):
        raise refusal(Fault()) from None


def card(value: dict[str, Any]) -> bytes:
    """An agent card as it is stored; raises `TooLarge` over its cap."""
    try:
        encoded = compact(value)
    except (ValueError, RecursionError):
        raise in_detail(Fault(field="agent_card", detail="a number is out of range")) from None
    if len(encoded) > CARD_CAP:
        raise TooLarge("agent_card too large", details={"max_bytes": CARD_CAP})
    return encoded
