"""Answers `OPTIONS *`, which asks about the server and not about a resource (RFC 9110, 9.3.7)."""

from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope


async def answer_server_options(_scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer that the server is there."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
