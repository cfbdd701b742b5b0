"""What the route of models takes."""

from gateway.bodies import Shape


class Choice(Shape):
    """Body of PUT /workspaces/{id}/model: an empty model is none."""

    model: str = ""
