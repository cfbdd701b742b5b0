"""Routes of the OpenAPI document and of its pages, which need no network: the gateway serves their files."""

import asyncio
from collections.abc import Callable
from functools import cached_property
from importlib import resources
from typing import Any

from starlette.responses import Response

from gateway.errors import UnknownPath
from gateway.json_format import encode_json
from gateway.route import Call, Route

PAGE_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Swagger UI sets styles of its own elements, and nothing else is loaded from anywhere but the gateway."""

ASSET_PACKAGE = "swagger_ui"
"""The package that holds the files of Swagger UI."""

ASSET_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""The files of Swagger UI that the page needs, with their media types."""

START_SCRIPT_NAME = "start.js"

PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Molecule: REST contract</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The contract itself is <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/{START_SCRIPT_NAME}"></script>
</body>
</html>
"""

START_SCRIPT = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  validatorUrl: null,
});
"""

CACHE_FOR_A_DAY = {"Cache-Control": "public, max-age=86400"}


class OpenApiRoutes:
    """Routes that describe all routes, themselves included."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="GET",
                path="/openapi.json",
                handler=self.get_document,
                summary="Read this document",
                guard=None,
            ),
            Route(
                method="GET",
                path="/docs",
                handler=self.get_page,
                summary="Show this document as a page",
                guard=None,
                media_type="text/html",
            ),
            Route(
                method="GET",
                path="/docs/{asset}",
                handler=self.get_asset,
                summary="Read a file of the page",
                guard=None,
                media_type="text/javascript",
                refusal_statuses=frozenset({404}),
            ),
        ]

    async def get_document(self, _: Call) -> object:
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def get_page(self, _: Call) -> object:
        """Return the Swagger UI of the document. It loads nothing from other hosts."""
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": PAGE_SECURITY_POLICY})

    async def get_asset(self, call: Call) -> object:
        """Return a script or a style of the page; 404 for any other name."""
        name = call.path["asset"]
        if name == START_SCRIPT_NAME:
            return Response(START_SCRIPT, media_type="text/javascript", headers=CACHE_FOR_A_DAY)
        if name not in ASSET_TYPES:
            raise UnknownPath
        content = await asyncio.to_thread(_read_asset, name)
        return Response(content, media_type=ASSET_TYPES[name], headers=CACHE_FOR_A_DAY)

    @cached_property
    def _document(self) -> bytes:
        return encode_json(self._describe())


def _read_asset(name: str) -> bytes:
    return resources.files(ASSET_PACKAGE).joinpath("static", name).read_bytes()
