"""The model that the agent of a workspace uses."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel


class ModelChoice(RequestModel, title="Choice"):
    """Body of PUT /workspaces/{id}/model: an empty model is none."""

    model: str = ""


class ChosenModel(TypedDict):
    """The model, and where it comes from: the default, or a choice for this workspace."""

    model: str
    source: str


class ModelChoiceResult(TypedDict):
    """What became of a choice."""

    status: Literal["saved", "cleared"]
    model: NotRequired[str]
