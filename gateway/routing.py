"""Finds the endpoint of a request by its method and path, answers HEAD and OPTIONS, and refuses what no route takes."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from gateway import errors
from gateway.json_format import json_response

Endpoint = Callable[[Request], Awaitable[Response]]

METHOD_NOT_ALLOWED = 405


class Router:
    """An ASGI application for the routes of the gateway.

    A path without parameters is one dictionary look-up, so it costs the same however many routes there are. The other
    paths of the method are tried in the order in which they were declared.
    """

    def __init__(self, routes: Iterable[tuple[str, str, Endpoint]]) -> None:
        """`routes` are methods, paths in the notation of Starlette, and endpoints."""
        self._by_path: dict[tuple[str, str], Endpoint] = {}
        self._by_pattern: dict[str, list[tuple[re.Pattern[str], Endpoint]]] = defaultdict(list)
        for method, path, endpoint in routes:
            if "{" in path:
                self._by_pattern[method].append((compile_path(path)[0], endpoint))
            else:
                self._by_path[method, path] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        method = scope["method"]
        answered_as = "GET" if method == "HEAD" else method
        endpoint = self._by_path.get((answered_as, scope["path"])) or self._search(answered_as, scope)
        if endpoint is None:
            response = self._answer_other_method(method, scope["path"])
        else:
            response = await endpoint(Request(scope, receive, send))
        if method == "HEAD":
            await send_head(response, send)
        else:
            await response(scope, receive, send)

    def _search(self, method: str, scope: Scope) -> Endpoint | None:
        """Return the first endpoint whose pattern matches, and put the parameters of the path into the scope."""
        for pattern, endpoint in self._by_pattern.get(method, ()):
            match = pattern.match(scope["path"])
            if match is not None:
                scope["path_params"] = match.groupdict()
                return endpoint
        return None

    def _answer_other_method(self, method: str, path: str) -> Response:
        """Return 404 for an unknown path; for one that other methods have, the answer to OPTIONS or 405."""
        known = {method for method, known in self._by_path if known == path}
        known |= {
            method
            for method, patterns in self._by_pattern.items()
            if any(pattern.match(path) for pattern, _ in patterns)
        }
        return answer_other_method(method, known) if known else errors.render_error(errors.UnknownPath())


def answer_other_method(method: str, known: Collection[str]) -> Response:
    """Return the answer to OPTIONS, and 405 for any other method; `known` are the methods of the routes of the path."""
    headers = {"Allow": list_allowed_methods(known)}
    if method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    return json_response({"error": "method not allowed"}, METHOD_NOT_ALLOWED, headers=headers)


def list_allowed_methods(known: Collection[str]) -> str:
    """Return the Allow header of a path whose routes have these methods: GET brings HEAD with it (RFC 9110, 9.3.2)."""
    return ", ".join(sorted({*known, "OPTIONS", *(["HEAD"] if "GET" in known else [])}))


async def send_head(response: Response, send: Send) -> None:
    """Send the head of a response and no body. A stream of events does not begin."""
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": b""})
