"""Renders errors of the plane as JSON-RPC errors, for callers that state the version of A2A that they speak. Pure."""

import msgspec
from starlette.responses import Response

from gateway import errors
from gateway.json_format import encode_json, parse_stored
from molecule_a2a.dialects import find_dialect
from molecule_a2a.model import Dialect
from services.chassis.errors import ServiceError

REFUSED = -32000
"""The code of a refusal of the plane: of the range that JSON-RPC leaves to servers, and not used by A2A."""

INTERNAL_ERROR = -32603

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
STRUCT = "type.googleapis.com/google.protobuf.Struct"

DOMAIN = "molecule"
"""The domain of the reasons of the plane."""


def render_rpc_error(error: ServiceError, *, request_id: msgspec.Raw, version: str) -> Response:
    """Return the response for an error, with a JSON-RPC error as its body.

    An error of the protocol has the status 200, as every server of A2A gives it. A refusal of the plane keeps its
    status and its headers; the data of its error has the members that the plane gives to other callers.
    """
    plain = errors.render_error(error)
    members = parse_stored(bytes(plain.body))
    if "jsonrpc" in members:
        return _render(members, 200, plain)
    refusal = {
        "code": INTERNAL_ERROR if plain.status_code == errors.INTERNAL_SERVER_ERROR else REFUSED,
        "message": members["error"],
        "data": _build_data(error, members, version),
    }
    return _render({"jsonrpc": "2.0", "id": request_id, "error": refusal}, plain.status_code, plain)


def _build_data(error: ServiceError, members: dict[str, object], version: str) -> object:
    """Return the members: as they are for 0.3, and as typed details for 1.0."""
    if find_dialect(version) is Dialect.LEGACY:
        return members
    return [
        {"@type": ERROR_INFO, "reason": error.reason, "domain": DOMAIN},
        {"@type": STRUCT, "value": members},
    ]


def _render(body: object, status: int, plain: Response) -> Response:
    kept = {name: text for name, text in plain.headers.items() if name not in {"content-length", "content-type"}}
    return Response(encode_json(body), status, kept, media_type="application/json")
