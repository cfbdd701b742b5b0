"""Searching for workspaces by what their agents can do."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.card_index import card_terms
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.card_index import CardTerm, CardTermKind
from services.registry.workspace.model import Workspace, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class CardQuery:
    """What is searched for: all of it must fit; what is empty fits everything."""

    skill: str = ""
    tag: str = ""
    text: str = ""
    org_id: str | None = None
    among: Sequence[WorkspaceId] | None = None


class CardIndex:
    """What the agents of workspaces can do, within a transaction."""

    def __init__(self, reader: IdentityMap) -> None:
        self._identity_map = reader

    async def replace(self, workspace_id: WorkspaceId, found: Sequence[CardTerm]) -> None:
        """Keep the terms of a card in place of those of the card before."""
        await self._identity_map.connection.execute(
            sa.delete(card_terms).where(card_terms.c.workspace_id == workspace_id)
        )
        if found:
            rows = [{"workspace_id": workspace_id, "kind": term.kind.value, "text": term.text} for term in found]
            await self._identity_map.connection.execute(sa.insert(card_terms), rows)

    async def search(self, wanted: CardQuery, *, after: tuple[str, str] | None, limit: int) -> list[Workspace]:
        """Workspaces that are not removed and fit, by name, then id."""
        statement = tables.select_workspaces.where(tables.is_not_removed, *_build_conditions(wanted))
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > after)
        return await self._identity_map.load(statement.order_by(workspaces.c.name, workspaces.c.id).limit(limit))


def _build_conditions(wanted: CardQuery) -> list[sa.ColumnElement[bool]]:
    fits = [
        _has_term(kind, text)
        for kind, text in ((CardTermKind.SKILL, wanted.skill), (CardTermKind.TAG, wanted.tag))
        if text
    ]
    if wanted.text:
        fits.append(tables.contains_text(wanted.text))
    if wanted.org_id is not None:
        fits.append(workspaces.c.org_id == wanted.org_id)
    if wanted.among is not None:
        fits.append(workspaces.c.id.in_(wanted.among))
    return fits


def _has_term(kind: CardTermKind, text: str) -> sa.ColumnElement[bool]:
    return workspaces.c.id.in_(
        sa.select(card_terms.c.workspace_id).where(card_terms.c.kind == kind.value, card_terms.c.text == text)
    )
