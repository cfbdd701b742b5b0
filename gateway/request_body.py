"""Request bodies: reads up to a size limit, parses JSON strictly and validates the route's model."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from gateway.errors import MalformedRequest, RequestTooLarge
from gateway.json_format import encode_json
from gateway.limits import MAX_BODY_BYTES, MAX_CARD_BYTES, SMALL_BODY_BYTES
from gateway.parsing_turns import ParsingTurns
from gateway.schemas.request_model import RequestModel
from services.chassis import strict_json
from services.chassis.errors import ServiceError
from services.chassis.large_bodies import run_by_size

READ_TIMEOUT_SECONDS = 30.0
"""Time within which a client has to send the whole body."""

MAX_DETAIL_LENGTH = 200
"""Characters of the detail of a fault: it quotes names that the client chose."""

MAX_DESCRIBED_FAULTS = 100
"""Faults of which the first one is described: pydantic describes all of them for that."""

ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The JSON escape of a NUL; an escaped backslash before the text `u0000` is none."""

M = TypeVar("M", bound=RequestModel)

AdmitLarge = Callable[[], Awaitable[object]]
"""Raises the refusal of a sender that may send a small body only."""

NOT_AN_OBJECT = "Input should be a valid dictionary"
"""The public text for a value that is no object; the text of pydantic names a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFault:
    """The first fault of a body."""

    field: str = ""
    detail: str = "not valid JSON"
    kind: str = ""
    """The type of the error in pydantic."""


FaultToError = Callable[[BodyFault], ServiceError]


def refuse_malformed(_: BodyFault) -> ServiceError:
    """Return the error of routes without a text of their own."""
    return MalformedRequest()


def refuse_with_text(message: str) -> FaultToError:
    """Return a function that gives every fault the same text."""
    return lambda _: MalformedRequest(message)


def refuse_with_detail(fault: BodyFault) -> ServiceError:
    """Return the error of the routes for agents: it names the field and the fault, for the authors of agents."""
    detail = f"{fault.field}: {fault.detail}" if fault.field else fault.detail
    return MalformedRequest(
        "invalid request body", details={"reason": "invalid_body", "detail": detail[:MAX_DETAIL_LENGTH]}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySpec(Generic[M]):
    """The body that a route takes, and the errors for any other."""

    model: type[M]
    fault_to_error: FaultToError = refuse_malformed
    required: bool = True
    max_bytes: int = MAX_BODY_BYTES
    max_depth: int = strict_json.MAX_JSON_DEPTH
    too_large_text: str = ""
    text_members: tuple[str, ...] = ()
    """Members that the model receives as their JSON text, byte for byte as it was sent; `None` for null."""

    async def read(
        self, request: Request, *, turns: ParsingTurns | None = None, admit_large: AdmitLarge | None = None
    ) -> M:
        """Read and validate the body of a request.

        A large body is parsed when its turn comes. `admit_large` is called before more than `SMALL_BODY_BYTES` are
        read, and raises the refusal of a sender that may not send them.
        """
        raw = await self._read_bytes(request, admit_large)
        if not raw and not self.required:
            return self.model()
        if turns is None or len(raw) <= SMALL_BODY_BYTES:
            return await run_by_size(len(raw), self.parse, raw)
        async with turns.take():
            return await run_by_size(len(raw), self.parse, raw)

    def parse(self, raw: bytes) -> M:
        """Return the model of a body; raises the error that `fault_to_error` makes of its first fault."""
        try:
            value = parse_json(raw, self.max_depth)
        except strict_json.InvalidJson as error:
            raise self.fault_to_error(BodyFault(detail=str(error))) from None
        if isinstance(value, dict):
            for name in value.keys() & set(self.text_members):
                value[name] = None if value[name] is None else strict_json.find_member(raw, name)
        try:
            return self.model.model_validate(value)
        except ValidationError as error:
            self._raise_first_fault(error)

    async def _read_bytes(self, request: Request, admit_large: AdmitLarge | None) -> bytes:
        try:
            return await read_body(request, self.max_bytes, admit_large)
        except RequestTooLarge:
            if not self.too_large_text:
                raise
            raise RequestTooLarge(self.too_large_text) from None

    def _raise_first_fault(self, error: ValidationError) -> NoReturn:
        if error.error_count() > MAX_DESCRIBED_FAULTS:
            raise self.fault_to_error(BodyFault(detail=f"more than {MAX_DESCRIBED_FAULTS} faults")) from None
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        detail = NOT_AN_OBJECT if first["type"] == "model_type" else first["msg"]
        fault = BodyFault(field=".".join(str(step) for step in first["loc"]), detail=detail, kind=first["type"])
        raise self.fault_to_error(fault) from None


async def read_body(request: Request, max_bytes: int, admit_large: AdmitLarge | None = None) -> bytes:
    """Return the bytes of the body, of which `admit_large` has to allow more than `SMALL_BODY_BYTES`.

    Raises `RequestTooLarge` as soon as the body is known to exceed `max_bytes`, and `MalformedRequest` for a body that
    does not arrive in time.
    """
    size = announced_size(request, max_bytes) or 0
    if admit_large is not None and size > SMALL_BODY_BYTES:
        await admit_large()
        admit_large = None
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await _collect_chunks(request.stream(), max_bytes, admit_large)
    except TimeoutError:
        raise MalformedRequest from None


async def stream_body(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a body as they arrive; raises `RequestTooLarge` once they exceed `max_bytes`.

    The server ends the connection of a client that sends too slowly.
    """
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise body_too_large(max_bytes)
        yield chunk


def announced_size(request: Request, max_bytes: int) -> int | None:
    """Return the Content-Length of a body, `None` without one; raises `RequestTooLarge` above `max_bytes`."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() else None
    if size is not None and size > max_bytes:
        raise body_too_large(max_bytes)
    return size


async def _collect_chunks(stream: AsyncIterator[bytes], max_bytes: int, admit_large: AdmitLarge | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > max_bytes:
            raise body_too_large(max_bytes)
        if admit_large is not None and size > SMALL_BODY_BYTES:
            await admit_large()
            admit_large = None
        chunks.append(chunk)
    return b"".join(chunks)


def body_too_large(max_bytes: int) -> RequestTooLarge:
    """Return the error for a body that exceeds `max_bytes`."""
    return RequestTooLarge(details={"max_bytes": max_bytes})


def parse_json(raw: bytes, max_depth: int = strict_json.MAX_JSON_DEPTH) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a strict JSON text; raises `InvalidJson` for others, and for NUL, which cannot be stored."""
    value = strict_json.parse(raw, max_depth=max_depth)
    if b"\\u0000" in raw and ESCAPED_NUL.search(raw):
        raise strict_json.InvalidJson("NUL cannot be stored")
    return value


def encode_payload(value: object, fault_to_error: FaultToError = refuse_malformed) -> bytes:
    """Return a client's JSON value as it is stored; raises the route's error for one that is no JSON."""
    try:
        return encode_json(value)
    except (ValueError, RecursionError):
        raise fault_to_error(BodyFault()) from None


def encode_agent_card(value: dict[str, Any]) -> bytes:
    """Return an agent card as it is stored; raises `RequestTooLarge` above `MAX_CARD_BYTES`."""
    try:
        encoded = encode_json(value)
    except (ValueError, RecursionError):
        raise refuse_with_detail(BodyFault(field="agent_card", detail="not valid JSON")) from None
    if len(encoded) > MAX_CARD_BYTES:
        raise RequestTooLarge("agent_card too large", details={"max_bytes": MAX_CARD_BYTES})
    return encoded
