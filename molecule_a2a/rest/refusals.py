"""Refusals of the plane as errors of the binding: they keep their HTTP status and their members."""

from molecule_a2a.error_objects import ERROR_INFO
from molecule_a2a.members import get_text
from molecule_a2a.model import Dialect, JsonObject
from molecule_a2a.rest.error_bodies import render_error, render_status
from molecule_a2a.rest.model import HttpAnswer
from molecule_a2a.rest.statuses import METHOD_NOT_FOUND, Status, get_canonical_code

PLANE_DOMAIN = "molecule"
"""The domain of the reasons of the plane."""

STRUCT = "type.googleapis.com/google.protobuf.Struct"

NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405


def render_refusal(members: JsonObject, *, http: int, reason: str, dialect: Dialect) -> HttpAnswer:
    """Return the answer for a refusal of the plane, whose usual body has `members`.

    The details name the reason, and hold all members. A refusal that is a JSON-RPC error becomes that error.
    """
    if isinstance(members.get("error"), dict):
        return render_error(members["error"], dialect, http=http)
    details: list[JsonObject] = [
        {"@type": ERROR_INFO, "reason": reason, "domain": PLANE_DOMAIN},
        {"@type": STRUCT, "value": members},
    ]
    return render_status(Status(http, get_canonical_code(http)), get_text(members, "error"), details, dialect)


def render_unknown_path(dialect: Dialect) -> HttpAnswer:
    """Return the answer for a path that the binding does not have."""
    return render_error({"code": METHOD_NOT_FOUND, "message": "not found"}, dialect, http=NOT_FOUND)


def render_other_method(dialect: Dialect) -> HttpAnswer:
    """Return the answer for a method that a path does not have."""
    return render_error({"code": METHOD_NOT_FOUND, "message": "method not allowed"}, dialect, http=METHOD_NOT_ALLOWED)
