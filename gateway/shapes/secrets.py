"""What the routes of secrets take."""

from pydantic import Field

from gateway.request_body import NonEmptyText, RequestModel


class Secret(RequestModel):
    """Body of a route that sets a secret."""

    key: NonEmptyText
    value: str = Field(min_length=1, repr=False)
