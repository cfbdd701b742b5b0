"""The contract itself, for machines and for people."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

from gateway.render.texts import compact
from gateway.route import Call, Route

ASSETS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; img-src 'self' data: https://fastapi.tiangolo.com"
)
"""The pages load Swagger UI from where its makers publish it."""


class ContractRoutes:
    """Describes every route, these two included."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    def table(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/openapi.json",
                handler=self.document,
                summary="The machine-readable contract",
                guard=None,
            ),
            Route(
                method="GET",
                path="/docs",
                handler=self.pages,
                summary="Pages of the contract",
                guard=None,
                media_type="text/html",
            ),
        ]

    async def document(self, _: Call) -> object:
        """The machine-readable contract."""
        return Response(self._document, media_type="application/json")

    async def pages(self, _: Call) -> object:
        """The contract, to look through and to try out."""
        page = get_swagger_ui_html(openapi_url="/openapi.json", title="Molecule")
        page.headers["Content-Security-Policy"] = ASSETS_POLICY
        return page

    @cached_property
    def _document(self) -> bytes:
        return compact(self._describe())
