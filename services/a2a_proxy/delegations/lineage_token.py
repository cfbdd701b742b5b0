"""Signs and verifies lineage tokens: each names the delegation under which one workspace works (BEY-06).

A token is `<version>.<delegation id>.<HMAC-SHA256 of id and target>`. The key is a row of the database that all
replicas share, so a token is valid at each of them and after every restart. A token opens nothing: the bearer of a
request says who the caller is, and the token is valid for that workspace only.
"""

import base64
import hashlib
import hmac
from uuid import UUID

from services.a2a_proxy.model import WorkspaceId

KEY_BYTES = 32

MAX_TOKEN_LENGTH = 200
"""Characters of a text that is looked at."""

VERSION = "v1"


def sign(key: bytes, delegation_id: str, target: WorkspaceId) -> str:
    """Return the token of a delegation for its target."""
    mac = hmac.new(key, f"lineage\n{delegation_id}\n{target}".encode(), hashlib.sha256).digest()
    return f"{VERSION}.{delegation_id}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def verify(key: bytes, token: str, caller: WorkspaceId) -> str | None:
    """Return the id of the delegation that a token names; `None` if it was not signed for `caller`."""
    parts = token.split(".") if len(token) <= MAX_TOKEN_LENGTH and token.isascii() else []
    if len(parts) != 3 or not _is_uuid(parts[1]):  # noqa: PLR2004 - version, id and signature
        return None
    expected = sign(key, parts[1], caller)
    return parts[1] if hmac.compare_digest(expected.encode(), token.encode()) else None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
