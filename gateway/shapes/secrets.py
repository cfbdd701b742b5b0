"""What the routes of secrets take."""

from pydantic import Field

from gateway.bodies import Name, Shape


class Secret(Shape):
    """Body of a route that sets a secret."""

    key: Name
    value: str = Field(min_length=1, repr=False)
