"""Errors of the binding: reads and renders the bodies of HTTP answers.

1.0 has `{"error": {code, status, message, details}}` (`google.rpc.Status`). 0.3 defines no body, and its SDKs read
members at the top: `message` with `type` (Python) or `code` (JavaScript). Bodies of 0.3 have them beside `error`.
"""

from collections.abc import Iterable
from http import HTTPStatus

from molecule_a2a.error_objects import DOMAIN, ERROR_INFO, VALUE, upgrade_error
from molecule_a2a.errors import INVALID_AGENT_RESPONSE, INVALID_REQUEST, TASK_NOT_FOUND, UNSUPPORTED_OPERATION
from molecule_a2a.members import get_text
from molecule_a2a.model import Dialect, JsonObject
from molecule_a2a.rest.model import HttpAnswer, Target
from molecule_a2a.rest.statuses import (
    CODES_BY_NAME,
    CODES_BY_REASON,
    ERROR_NAMES,
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    REST_REASONS,
    Status,
    choose_status,
)

CODES_BY_STATUS = {
    400: INVALID_REQUEST,
    404: METHOD_NOT_FOUND,
    405: UNSUPPORTED_OPERATION,
    501: UNSUPPORTED_OPERATION,
    502: INVALID_AGENT_RESPONSE,
}
"""The code of an error of which the agent says no more than its HTTP status."""

MAX_TEXT_LENGTH = 2000
"""Characters of the longest text of an agent's error that is read."""


def render_error(error: object, dialect: Dialect, *, http: int = HTTPStatus.OK) -> HttpAnswer:
    """Return the HTTP answer for a JSON-RPC error that came with the HTTP status `http`."""
    found = error if isinstance(error, dict) else {}
    code = found.get("code")
    status = choose_status(code, http)
    text = get_text(found, "message") or _describe(status.http)
    answer = render_status(status, text, _list_details(found), dialect)
    if dialect is Dialect.LEGACY and isinstance(code, int) and isinstance(answer.body, dict):
        name = {"type": ERROR_NAMES[code]} if code in ERROR_NAMES else {}
        return HttpAnswer(answer.status, {"code": code, **name, **answer.body})
    return answer


def render_status(status: Status, text: str, details: Iterable[JsonObject], dialect: Dialect) -> HttpAnswer:
    """Return the HTTP answer with a status, a text for people and typed details."""
    error: JsonObject = {"code": status.http, "status": status.canonical, "message": text, "details": list(details)}
    body = {"message": text, "error": error} if dialect is Dialect.LEGACY else {"error": error}
    return HttpAnswer(status.http, body)


def read_error(body: object, *, http: int, target: Target) -> JsonObject:
    """Return the JSON-RPC error of 1.0 that an agent's error body stands for; any body is read."""
    outer = body if isinstance(body, dict) else {}
    inner = outer["error"] if isinstance(outer.get("error"), dict) else outer
    code = _find_code(outer, inner)
    if code is None:
        is_missing_task = http == HTTPStatus.NOT_FOUND and target.task_id
        code = TASK_NOT_FOUND if is_missing_task else CODES_BY_STATUS.get(http, INTERNAL_ERROR)
    text = get_text(inner, "message") or get_text(outer, "message") or get_text(outer, "error") or _describe(http)
    error: JsonObject = {"code": code, "message": text[:MAX_TEXT_LENGTH]}
    details = inner.get("details")
    if isinstance(details, list) and details and all(isinstance(one, dict) and "@type" in one for one in details):
        return {**error, "data": details}
    return upgrade_error(error | ({"data": outer["data"]} if outer.get("data") is not None else {}))


def build_value_detail(value: object) -> JsonObject:
    """Return the typed detail that holds any JSON value."""
    return {"@type": VALUE, "value": value}


def _list_details(error: JsonObject) -> list[JsonObject]:
    """Return the details of an error, among them the reason of a known code, by which SDKs know the error."""
    upgraded = upgrade_error(error)
    details = upgraded.get("data")
    found: list[JsonObject] = details if isinstance(details, list) else []
    code = error.get("code")
    reason = REST_REASONS.get(code) if isinstance(code, int) else None
    if reason is None or any(one.get("@type") == ERROR_INFO for one in found):
        return found
    return [{"@type": ERROR_INFO, "reason": reason, "domain": DOMAIN}, *found]


def _find_code(outer: JsonObject, inner: JsonObject) -> int | None:
    """Return the code of JSON-RPC by the reason of 1.0, or by the `type` or the `code` of 0.3."""
    details = inner.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("@type") == ERROR_INFO:
            return CODES_BY_REASON.get(get_text(detail, "reason"))
    named = CODES_BY_NAME.get(get_text(outer, "type"))
    code = outer.get("code")
    if named is None and isinstance(code, int) and code in REST_REASONS:
        return code
    return named


def _describe(http: int) -> str:
    try:
        return HTTPStatus(http).phrase
    except ValueError:
        return f"HTTP status {http}"
