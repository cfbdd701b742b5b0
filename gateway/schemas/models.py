"""The model that the agent of a workspace uses."""

from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel


class ModelChoice(RequestModel, title="Choice"):
    """Body of PUT /workspaces/{id}/model: an empty model is none."""

    model: str = ""


@with_config(title="Chosen")
class ChosenModel(TypedDict):
    """The model that was chosen, and by whom: by nobody, or for this workspace."""

    model: str
    source: str


@with_config(title="Choosing")
class ModelChoiceResult(TypedDict):
    """What became of a choice."""

    status: str
    model: NotRequired[str]
