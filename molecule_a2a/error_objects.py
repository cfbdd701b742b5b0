"""Converts JSON-RPC errors: `data` is an array of typed details in 1.0, and anything in 0.3."""

from molecule_a2a.errors import REASONS, ConversionFailed
from molecule_a2a.model import Dialect, JsonObject

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
VALUE = "type.googleapis.com/google.protobuf.Value"
DOMAIN = "a2a-protocol.org"

DETAILS = "details"
"""The member of an error of 0.3 that has the typed details of an error of 1.0."""


def convert_error(error: object, dialect: Dialect) -> object:
    """Return an error in the form of a dialect; its code stays."""
    if not isinstance(error, dict):
        return error
    return upgrade_error(error) if dialect is Dialect.CURRENT else downgrade_error(error)


def upgrade_error(error: JsonObject) -> JsonObject:
    """Return an error of 1.0, whose details begin with the reason of a known code. Other data is the next detail."""
    data = error.get("data")
    if _list_typed(data):
        return error
    if isinstance(data, dict) and data.keys() == {DETAILS} and _list_typed(data[DETAILS]):
        return {**error, "data": data[DETAILS]}
    details = _build_details(error.get("code"))
    if data is not None:
        details.append({"@type": VALUE, "value": data})
    upgraded = {name: value for name, value in error.items() if name != "data"}
    return {**upgraded, "data": details} if details else upgraded


def downgrade_error(error: JsonObject) -> JsonObject:
    """
    Return an error of 0.3, without the details that `upgrade_error` adds.

    Other details are a member of an object, because clients of 0.3 in Go and JavaScript read no array.
    """
    details = _list_typed(error.get("data"))
    if not details:
        return error
    added = _build_details(error.get("code"))
    if [_drop_empty_metadata(detail) for detail in details[: len(added)]] != added:
        return {**error, "data": {DETAILS: details}}
    downgraded = {name: value for name, value in error.items() if name != "data"}
    match details[len(added) :]:
        case []:
            return downgraded
        case [{"@type": type_, "value": value, **others}] if type_ == VALUE and not others:
            return {**downgraded, "data": value}
        case _:
            return {**downgraded, "data": {DETAILS: details}}


def build_error(failure: ConversionFailed, dialect: Dialect) -> JsonObject:
    """Return the JSON-RPC error object that tells a caller of a dialect why there is no conversion."""
    error: JsonObject = {"code": failure.code, "message": failure.text}
    return upgrade_error(error) if dialect is Dialect.CURRENT else error


def _drop_empty_metadata(detail: JsonObject) -> JsonObject:
    """Return a detail without metadata that say nothing, which the official SDK always sends."""
    return {name: value for name, value in detail.items() if name != "metadata" or value}


def _build_details(code: object) -> list[JsonObject]:
    """Return the details of an error without data; none for a code that A2A does not have."""
    reason = REASONS.get(code) if isinstance(code, int) else None
    return [] if reason is None else [{"@type": ERROR_INFO, "reason": reason, "domain": DOMAIN}]


def _list_typed(data: object) -> list[JsonObject]:
    """Return `data` if it is an array of typed details; none for anything else."""
    if not isinstance(data, list):
        return []
    return data if all(isinstance(one, dict) and "@type" in one for one in data) else []
