"""Finds the endpoint of a request by its method and path, and refuses what no route takes."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

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
        endpoint = self._by_path.get((scope["method"], scope["path"])) or self._search(scope)
        if endpoint is None:
            response = self._refuse(scope["path"])
        else:
            response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    def _search(self, scope: Scope) -> Endpoint | None:
        """Return the first endpoint whose pattern matches, and put the parameters of the path into the scope."""
        for pattern, endpoint in self._by_pattern.get(scope["method"], ()):
            match = pattern.match(scope["path"])
            if match is not None:
                scope["path_params"] = match.groupdict()
                return endpoint
        return None

    def _refuse(self, path: str) -> Response:
        """Return 404 for an unknown path, and 405 for a path that is known with other methods."""
        allowed = {method for method, known in self._by_path if known == path}
        allowed |= {
            method
            for method, patterns in self._by_pattern.items()
            if any(pattern.match(path) for pattern, _ in patterns)
        }
        if not allowed:
            return errors.render_error(errors.UnknownPath())
        headers = {"Allow": ", ".join(sorted(allowed))}
        return json_response({"error": "method not allowed"}, METHOD_NOT_ALLOWED, headers=headers)
