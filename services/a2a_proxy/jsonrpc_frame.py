"""Judges the frame of a JSON-RPC request, for agents that do not read it themselves.

An agent of JSON-RPC judges its requests. For an agent of another binding, and for one that fetches its messages, the
plane is the server of JSON-RPC.
"""

from services.a2a_proxy.model import JsonObject


def find_frame_fault(request: JsonObject) -> str:
    """Return why a request is none of JSON-RPC 2.0; empty for a right one."""
    if request.get("jsonrpc") != "2.0":
        return 'invalid request: jsonrpc must be "2.0"'
    if not isinstance(request.get("method"), str) or not request["method"]:
        return "invalid request: method must be a text"
    if isinstance(request.get("id"), (dict, list, bool)):
        return "invalid request: id must be a text or a number"
    return ""
