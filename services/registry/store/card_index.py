"""Searches workspaces by the skills and tags of their cards, and by name and role."""

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
    """A search: every given condition must hold; an empty one always holds."""

    skill: str = ""
    tag: str = ""
    text: str = ""
    org_id: str | None = None
    among: Sequence[WorkspaceId] | None = None
    """Only these workspaces; `None` for all."""


class CardIndex:
    """The search terms of cards, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def replace(self, workspace_id: WorkspaceId, new_terms: Sequence[CardTerm]) -> None:
        """Replace the terms of a workspace."""
        await self._identity_map.connection.execute(
            sa.delete(card_terms).where(card_terms.c.workspace_id == workspace_id)
        )
        if new_terms:
            rows = [{"workspace_id": workspace_id, "kind": term.kind.value, "text": term.text} for term in new_terms]
            await self._identity_map.connection.execute(sa.insert(card_terms), rows)

    async def search(self, query: CardQuery, *, after: tuple[str, str] | None, limit: int) -> list[Workspace]:
        """Return matching workspaces that are not removed, by name, then id."""
        statement = tables.select_workspaces.where(tables.is_not_removed, *_build_conditions(query))
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > after)
        return await self._identity_map.load(statement.order_by(workspaces.c.name, workspaces.c.id).limit(limit))


def _build_conditions(query: CardQuery) -> list[sa.ColumnElement[bool]]:
    conditions = [
        _has_term(kind, text)
        for kind, text in ((CardTermKind.SKILL, query.skill), (CardTermKind.TAG, query.tag))
        if text
    ]
    if query.text:
        conditions.append(tables.contains_text(query.text))
    if query.org_id is not None:
        conditions.append(workspaces.c.org_id == query.org_id)
    if query.among is not None:
        conditions.append(workspaces.c.id.in_(query.among))
    return conditions


def _has_term(kind: CardTermKind, text: str) -> sa.ColumnElement[bool]:
    return workspaces.c.id.in_(
        sa.select(card_terms.c.workspace_id).where(card_terms.c.kind == kind.value, card_terms.c.text == text)
    )
