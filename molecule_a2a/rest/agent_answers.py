"""Converts the HTTP answers and the events of agents that offer HTTP+JSON only into JSON-RPC answers."""

from molecule_a2a.answers import convert_answer
from molecule_a2a.error_objects import ERROR_INFO, upgrade_error
from molecule_a2a.errors import INVALID_PARAMS, INVALID_REQUEST
from molecule_a2a.model import Dialect, JsonObject, Operation
from molecule_a2a.rest.error_bodies import read_error
from molecule_a2a.rest.model import ERROR_EVENT, MIN_ERROR_STATUS, AgentRequest, RestEvent
from molecule_a2a.rest.proto_results import read_result
from molecule_a2a.streams import StreamStep, convert_frame

UNKNOWN_STATUS = 500
"""The HTTP status that an error event stands for, unless the event says more."""


def read_answer(body: object, *, http: int, request: AgentRequest) -> JsonObject:
    """Return the JSON-RPC answer for an agent's HTTP answer, in the caller's form; raises `ConversionFailed`.

    `body` is parsed JSON, or `None` for an answer without a body or one that is no JSON.
    """
    response = _build_response(body, http, request)
    is_converted = request.answer.caller is not request.target.dialect or request.answer.takes_first_config
    return convert_answer(response, request.answer) if is_converted or "error" in response else response


def read_event(event: RestEvent, *, request: AgentRequest, has_begun: bool) -> StreamStep:
    """Return what an agent's event becomes, in the caller's form; raises `ConversionFailed`.

    A caller of the agent's own version receives the events as they are.
    """
    is_error = event.name == ERROR_EVENT or _is_error_body(event.data)
    frame = _build_response(event.data, UNKNOWN_STATUS if is_error else 0, request)
    if "error" not in frame and request.answer.caller is request.target.dialect:
        return StreamStep(frames=(frame,), has_begun=True, is_last=False)
    return convert_frame(frame, request.answer, has_begun=has_begun)


def _build_response(body: object, http: int, request: AgentRequest) -> JsonObject:
    """Return the JSON-RPC response of the agent's version."""
    response: JsonObject = {"jsonrpc": "2.0", "id": request.request_id}
    target = request.target
    if http >= MIN_ERROR_STATUS:
        error = read_error(body, http=http, target=target)
        return {**response, "error": _blame_params(error) if error["code"] == INVALID_REQUEST else error}
    if target.dialect is Dialect.LEGACY:
        return {**response, "result": read_result(body, target.operation)}
    if body is None and target.operation is Operation.DELETE_PUSH_CONFIG:
        body = {}
    return {**response, "result": body}


def _blame_params(error: JsonObject) -> JsonObject:
    """Return the error of a request that the agent could not read: it reads the params only, not the frame."""
    others = [one for one in error.get("data", []) if one.get("@type") != ERROR_INFO]
    blamed: JsonObject = upgrade_error({"code": INVALID_PARAMS, "message": error["message"]})
    return {**blamed, "data": [*blamed["data"], *others]}


def _is_error_body(data: object) -> bool:
    """Whether the data of an event is an error: no event has such a member."""
    return isinstance(data, dict) and isinstance(data.get("error"), dict)
