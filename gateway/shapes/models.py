"""What the route of models takes."""

from gateway.request_body import RequestModel


class Choice(RequestModel):
    """Body of PUT /workspaces/{id}/model: an empty model is none."""

    model: str = ""
