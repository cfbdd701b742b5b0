"""Caches the inbound secrets, with which the plane proves to an agent that a message comes from it."""

import asyncio
import time
from dataclasses import dataclass, field

from services.a2a_proxy.clients import AuthClient
from services.a2a_proxy.model import InboundSecret, Route, WorkspaceId

ASK_INTERVAL_SECONDS = 1.0
"""Seconds between two questions to auth about one workspace: an agent may refuse every message."""


class InboundSecrets:
    """The inbound secrets in memory.

    A secret is asked for once in each generation of a workspace, and again after its agent has refused it.
    """

    def __init__(self, auth: AuthClient) -> None:
        self._auth = auth
        self._entries: dict[WorkspaceId, _Entry] = {}

    async def find(self, route: Route) -> str | None:
        """Return the secret of a workspace; `None` if auth cannot tell it."""
        entry = self._entries.get(route.workspace_id)
        if entry is not None and entry.generation == route.generation and entry.secret is not None:
            return entry.secret
        found = await self._ask(route, refused=None)
        return None if found is None else found.text

    async def find_or_heal(self, route: Route) -> InboundSecret | None:
        """Return the secret of a workspace, and whether this call had it created; `None` if auth cannot tell it."""
        entry = self._entries.get(route.workspace_id)
        if entry is not None and entry.generation == route.generation and entry.secret is not None:
            return InboundSecret(entry.secret)
        return await self._ask(route, refused=None)

    async def find_other(self, route: Route, refused: str | None) -> str | None:
        """Return the secret that replaced one which the agent refused; `None` if there is no other."""
        found = await self._ask(route, refused=refused)
        return None if found is None else found.text

    def drop(self, workspace_id: WorkspaceId) -> None:
        """Forget the secret of a removed workspace."""
        self._entries.pop(workspace_id, None)

    async def _ask(self, route: Route, *, refused: str | None) -> InboundSecret | None:
        entry = self._entries.setdefault(route.workspace_id, _Entry(generation=route.generation))
        async with entry.lock:
            if entry.generation == route.generation:
                if entry.secret is not None and entry.secret != refused:
                    return InboundSecret(entry.secret)
                if time.monotonic() < entry.ask_again_at:
                    return None
            entry.ask_again_at = time.monotonic() + ASK_INTERVAL_SECONDS
            told = await self._auth.read_inbound_secret(route.workspace_id)
            if told is not None:
                entry.generation, entry.secret = route.generation, told.text
            return None if told is None or told.text == refused else told


@dataclass(slots=True, kw_only=True)
class _Entry:
    """The secret of one generation of a workspace, if it is known, and when auth may be asked again."""

    generation: int
    secret: str | None = field(default=None, repr=False)
    ask_again_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
