"""What the routes of organisations and bundles take."""

from typing import Any

from gateway.request_body import RequestModel


class OrgImport(RequestModel):
    """Body of POST /org/import: a directory, or what a file says."""

    dir: str = ""
    template: dict[str, Any] | None = None
    dry_run: bool = False


class Collapse(RequestModel):
    """Body of POST /workspaces/{id}/collapse."""

    dry_run: bool = False


class Bundle(RequestModel, extra="allow"):
    """Body of POST /bundles/import: an object, judged by the registry."""
