"""Decides whether a secret of the operator is too weak for production."""

import re

MIN_SECRET_CHARACTERS = 16
"""The shortest secret; fewer characters can be guessed."""

MIN_DISTINCT_CHARACTERS = 6
"""Fewer distinct characters are a repeated pattern."""

PLACEHOLDER = re.compile(
    r"^<.*>$|^\$\{|change.?(me|this)|replace.?(me|this|with)|placeholder|your.(own|admin|token|secret)"
)
"""Texts of examples that were copied without a change."""


def find_weakness(secret: str) -> str | None:
    """Return why the secret is too weak, as the end of a sentence, or `None`."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"is too short: use at least {MIN_SECRET_CHARACTERS} characters, such as openssl rand -hex 32 makes"
    if len(set(secret)) < MIN_DISTINCT_CHARACTERS or PLACEHOLDER.search(secret.lower()):
        return "is a placeholder: use a secret, such as openssl rand -hex 32 makes"
    return None
