"""Renders errors of the plane in the form of the HTTP+JSON binding, on the paths of the binding."""

from starlette.responses import Response
from starlette.types import Scope

from gateway import errors
from gateway.json_format import json_response
from gateway.message_timing import RAW_REST_PATH
from molecule_a2a.model import Dialect
from molecule_a2a.rest import refusals, routes
from services.chassis import strict_json
from services.chassis.errors import ServiceError

BODY_HEADERS = frozenset({"content-type", "content-length"})
"""Headers that describe the usual body of an error."""


def render_error_at(scope: Scope, error: ServiceError) -> Response:
    """Return the response for an error in the form that the path of the request has."""
    found = RAW_REST_PATH.fullmatch(scope.get("raw_path", b""))
    if found is None:
        return errors.render_error(error)
    return render_rest_error(error, routes.find_path_dialect(found[2].decode("latin-1")))


def render_rest_error(error: ServiceError, dialect: Dialect) -> Response:
    """Return the response for an error in the form of the binding, with the headers that it usually has."""
    usual = errors.render_error(error)
    members = strict_json.parse(bytes(usual.body))
    answer = refusals.render_refusal(members, http=usual.status_code, reason=error.reason, dialect=dialect)
    kept = {name: value for name, value in usual.headers.items() if name not in BODY_HEADERS}
    return json_response(answer.body, answer.status, headers=kept)
