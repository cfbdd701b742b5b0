"""What the route of budgets takes."""

from typing import Annotated

from pydantic import Field

from gateway.request_body import RequestModel

Cents = Annotated[int, Field(ge=0, lt=2**63)]


class Limit(RequestModel):
    """Body of PATCH /workspaces/{id}/budget: `null` is no limit, and has to be said."""

    budget_limit: Cents | None
