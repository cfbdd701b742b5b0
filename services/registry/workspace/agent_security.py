"""Names the secrets with which the plane proves itself to an agent, and stores what the agent requires as text."""

import json
import re

from molecule_a2a.agent_security import (
    NO_SECURITY,
    AgentSecurity,
    SchemeKind,
    SecurityScheme,
)

SECRET_PREFIX = "A2A_CREDENTIAL_"  # noqa: S105 - the beginning of names of secrets
"""What the names of these secrets begin with. Auth tells the proxy no other secret."""

SATISFIABLE_KINDS = frozenset(
    {SchemeKind.HEADER, SchemeKind.QUERY, SchemeKind.COOKIE, SchemeKind.BEARER, SchemeKind.BASIC}
)
"""The kinds for which a stored text is enough. Others need a dialogue with a third party, or a certificate."""


def find_secret_key(scheme: SecurityScheme) -> str | None:
    """Return the name of the secret for a scheme; `None` if the plane cannot fulfil it."""
    words = re.sub(r"[^A-Z0-9]+", "_", scheme.name.upper()).strip("_")
    return SECRET_PREFIX + words if words and scheme.kind in SATISFIABLE_KINDS else None


def serialize_security(security: AgentSecurity) -> str:
    """Return the text in which requirements are stored; empty for none."""
    if security == NO_SECURITY:
        return ""
    alternatives = [[[one.name, one.kind.value, one.parameter] for one in each] for each in security.alternatives]
    return json.dumps([security.required, alternatives], separators=(",", ":"))


def parse_security(text: str) -> AgentSecurity:
    """Return the requirements of a stored text."""
    if not text:
        return NO_SECURITY
    required, alternatives = json.loads(text)
    return AgentSecurity(
        required,
        tuple(
            tuple(SecurityScheme(name, SchemeKind(kind), parameter) for name, kind, parameter in each)
            for each in alternatives
        ),
    )
