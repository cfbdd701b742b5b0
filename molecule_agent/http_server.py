"""The ASGI application of the agent: it serves health and card to everyone, and A2A and files to the plane."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from molecule_agent.asgi import Application, Receive, Scope, Send, encode_json, get_header, send_json
from molecule_agent.file_endpoints import METHODS as FILE_PATHS
from molecule_agent.platform_inbound_auth import read_bearer, refuse
from molecule_agent.request_body import BodyTooLarge, receive_again, receive_whole

CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""The path of current clients, and the path that clients before A2A 0.3 used."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The limit for the body of a request; the plane itself accepts 10 MiB."""


class HttpServer:
    """Serves health check and card, refuses pages, and passes the plane's requests on.

    Requests for files go to `files`, which limits them itself; all others, of limited size, go to `application`.
    """

    def __init__(
        self,
        card: dict[str, Any],
        application: Application,
        *,
        files: Application,
        is_inbound_secret: Callable[[bytes], bool],
    ) -> None:
        """`is_inbound_secret` says whether a bearer is the secret that the plane presents."""
        self._documents = dict.fromkeys(CARD_PATHS, encode_json(card))
        self._documents["/health"] = encode_json({"status": "ok"})
        self._application = application
        self._files = files
        self._is_inbound_secret = is_inbound_secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _comes_from_page(scope):
            await send_json(send, HTTPStatus.FORBIDDEN, _PAGE_REFUSED)
            return
        document = self._documents.get(scope["path"]) if scope["method"] in {"GET", "HEAD"} else None
        if document is not None:
            await send_json(send, HTTPStatus.OK, document)
        elif not self._is_inbound_secret(read_bearer(scope)):
            await refuse(send)
        elif scope["path"] in FILE_PATHS:
            await self._files(scope, receive, send)
        elif _content_length(scope) > MAX_BODY_BYTES:
            await send_json(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application with its whole body; a body without a length may prove too large."""
        try:
            message = await receive_whole(receive, MAX_BODY_BYTES)
        except BodyTooLarge:
            await send_json(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        else:
            await self._application(scope, receive_again(message, receive), send)


def _comes_from_page(scope: Scope) -> bool:
    """Whether a page in a browser sends the request: an agent that listens on this machine obeys none."""
    headers = dict(scope["headers"])
    return b"origin" in headers or headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}


def _content_length(scope: Scope) -> int:
    text = get_header(scope, b"content-length")
    return int(text) if text.isascii() and text.isdigit() else 0


_PAGE_REFUSED = encode_json({"error": "pages of browsers are not allowed"})

_TOO_LARGE = encode_json({"error": "request body too large", "max_bytes": MAX_BODY_BYTES})
