"""Finds the credentials with which the plane fulfils what an agent requires of its callers, and caches them."""

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

from services.a2a_proxy.clients import AuthClient
from services.a2a_proxy.errors import AgentCredentialUnavailable
from services.a2a_proxy.model import NO_CREDENTIAL, AgentCredential, Answer, Route, SecurityAlternative, WorkspaceId

CACHE_SECONDS = 30.0
"""Seconds for which what auth told is used: a changed secret of an external agent is in force after them."""

ASK_INTERVAL_SECONDS = 1.0
"""Seconds between two questions to auth about one workspace: an agent may refuse every message."""

REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""The statuses by which an agent refuses a credential, before it does anything."""

MAX_CREDENTIAL_LENGTH = 8000
"""Characters of the longest credential that is sent; agents refuse longer headers."""

FORBIDDEN_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding", "te"),
        *("trailer", "upgrade", "keep-alive", "expect", "proxy-authorization", "proxy-connection", "accept", "cookie"),
        *("a2a-version", "a2a-extensions", "x-a2a-extensions", "traceparent", "tracestate", "x-request-id"),
    }
)
"""Headers that an API key cannot be in, because HTTP, A2A or the plane gives them a meaning."""

FORBIDDEN_PREFIXES = ("x-molecule-", "grpc-", ":")


class AgentCredentials:
    """The credentials in memory, by workspace."""

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth
        self._entries: dict[WorkspaceId, _KnownCredentials] = {}

    async def find(self, route: Route) -> AgentCredential:
        """Return what is presented to an agent; nothing if no alternative of its card has all its secrets.

        Raises `AgentCredentialUnavailable` if the agent requires something and auth does not tell the secrets.
        """
        if not any(_is_fulfillable(alternative) for alternative in route.security):
            return NO_CREDENTIAL
        entry = self._entries.get(route.workspace_id)
        if entry is None or entry.generation != route.generation or time.monotonic() >= entry.expires_at:
            entry = await self._ask(route)
        if entry is None:
            if route.requires_security:
                raise AgentCredentialUnavailable
            return NO_CREDENTIAL
        return build_credential(route.security, entry.values)

    async def find_other(self, route: Route, refused: AgentCredential) -> AgentCredential | None:
        """Return what replaced a credential that the agent refused; `None` if nothing did."""
        if not any(_is_fulfillable(alternative) for alternative in route.security):
            return None
        entry = await self._ask(route)
        found = None if entry is None else build_credential(route.security, entry.values)
        return None if found in (None, refused, NO_CREDENTIAL) else found

    def drop(self, workspace_id: WorkspaceId) -> None:
        """Forget the credentials of a removed workspace."""
        self._entries.pop(workspace_id, None)

    async def _ask(self, route: Route) -> "_KnownCredentials | None":
        """Return what auth tells, or told just now; if it does not answer, what it told last in this generation."""
        entry = self._entries.setdefault(route.workspace_id, _KnownCredentials(generation=route.generation))
        async with entry.lock:
            is_current = entry.generation == route.generation
            if not (is_current and time.monotonic() < entry.ask_again_at):
                entry.ask_again_at = time.monotonic() + ASK_INTERVAL_SECONDS
                values = await self._auth.read_agent_credentials(route.workspace_id)
                if values is not None:
                    entry.generation, entry.values, entry.is_known = route.generation, values, True
                    entry.expires_at = time.monotonic() + CACHE_SECONDS
            return entry if entry.is_known and entry.generation == route.generation else None


def is_refused(result: object) -> bool:
    """Whether an agent refused a message because of the credential or for want of one."""
    return isinstance(result, Answer) and result.status in REFUSALS


def build_credential(security: tuple[SecurityAlternative, ...], values: Mapping[str, str]) -> AgentCredential:
    """Return the credential for the first alternative whose secrets are all set; nothing if there is none.

    A value that a header cannot carry counts as not set.
    """
    for alternative in security:
        if not _is_fulfillable(alternative):
            continue
        texts = [values.get(scheme.secret_key, "").strip() for scheme in alternative]
        if all(_is_sendable(text) for text in texts):
            headers: dict[str, str] = {}
            queries, cookies = [], []
            for scheme, text in zip(alternative, texts, strict=True):
                match scheme.kind:
                    case "http_bearer":
                        headers["authorization"] = f"Bearer {text}"
                    case "http_basic":
                        headers["authorization"] = f"Basic {base64.b64encode(text.encode()).decode()}"
                    case "api_key_query":
                        queries.append(f"{quote(scheme.parameter, safe='')}={quote(text, safe='')}")
                    case "api_key_cookie":
                        cookies.append(f"{scheme.parameter}={text}")
                    case _:
                        headers[scheme.parameter.lower()] = text
            if cookies:
                headers["cookie"] = "; ".join(cookies)
            return AgentCredential(headers=tuple(headers.items()), query="&".join(queries))
    return NO_CREDENTIAL


@dataclass(slots=True, kw_only=True)
class _KnownCredentials:
    """What auth told about one generation of a workspace, until when it is used, and when auth may be asked again."""

    generation: int
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_known: bool = False
    expires_at: float = 0.0
    ask_again_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def _is_fulfillable(alternative: SecurityAlternative) -> bool:
    return bool(alternative) and all(
        scheme.secret_key and _is_placeable(scheme.kind, scheme.parameter) for scheme in alternative
    )


def _is_placeable(kind: str, parameter: str) -> bool:
    """Whether the plane may put a credential where the card wants it."""
    match kind:
        case "http_bearer" | "http_basic":
            return True
        case "api_key_query":
            return bool(parameter)
        case "api_key_header" | "api_key_cookie":
            name = parameter.lower()
            is_token = bool(name) and name.isascii() and all(one.isalnum() or one in "!#$%&'*+-.^_`|~" for one in name)
            return is_token and (
                kind == "api_key_cookie" or (name not in FORBIDDEN_HEADERS and not name.startswith(FORBIDDEN_PREFIXES))
            )
        case _:
            return False


def _is_sendable(text: str) -> bool:
    return 0 < len(text) <= MAX_CREDENTIAL_LENGTH and text.isascii() and text.isprintable()
