"""The limits that the adapters of models share."""

MAX_ANSWER_TOKENS = 1_000_000

DEFAULT_ROUNDS = 32
"""Requests to the model for one message; each round after the first has the results of tools."""

MAX_ROUNDS = 1000

MAX_RETRIES = 4
"""Attempts after the first that the SDK makes, with the delays that the provider asks for."""
