"""Configuration of workspaces and the viewport of the canvas."""

from typing import Any

from pydantic import ConfigDict
from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel


class ConfigPatch(RequestModel):
    """Body of PATCH /workspaces/{id}/config: an object of the client's own."""

    model_config = ConfigDict(extra="allow")


class ViewportUpdate(RequestModel, title="NewViewport"):
    """Body of PUT /canvas/viewport."""

    x: float
    y: float
    zoom: float


class WorkspaceConfig(TypedDict):
    """What a workspace is set to."""

    data: dict[str, Any]


class CanvasViewport(TypedDict):
    """Where the canvas stands."""

    x: float
    y: float
    zoom: float
