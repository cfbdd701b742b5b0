"""Routes of the OpenAPI document and of its pages."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from starlette.responses import Response

from gateway.json_format import encode_json
from gateway.route import Call, Route

SWAGGER_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; img-src 'self' data:"
)
"""The page loads Swagger UI from the network on which its makers publish it."""

SWAGGER_PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>Molecule</title>
<link rel="stylesheet" href="https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
})
</script>
</body>
</html>
"""


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
                summary="The machine-readable contract",
                guard=None,
            ),
            Route(
                method="GET",
                path="/docs",
                handler=self.get_page,
                summary="Pages of the contract",
                guard=None,
                media_type="text/html",
            ),
        ]

    async def get_document(self, _: Call) -> object:
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def get_page(self, _: Call) -> object:
        """Return the Swagger UI of the document."""
        return Response(
            SWAGGER_PAGE, media_type="text/html", headers={"Content-Security-Policy": SWAGGER_SECURITY_POLICY}
        )

    @cached_property
    def _document(self) -> bytes:
        return encode_json(self._describe())
