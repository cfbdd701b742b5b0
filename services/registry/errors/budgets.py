"""Errors about budgets. Their texts are specified in docs/spec/rest.md, 6.10."""

from services.chassis import errors

DOMAIN = "molecule.registry.v1"


class InvalidBudget(errors.InvalidArgument):
    domain = DOMAIN
    reason = "INVALID_BUDGET"
    message = "budget_limit must be >= 0 (USD cents)"
