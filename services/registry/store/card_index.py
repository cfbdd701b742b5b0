"""Searching for workspaces by what their agents can do."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.registry.store.identity_map import Reader
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.card_index import terms
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.card_index import Kind, Term
from services.registry.workspace.model import Workspace, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for: all of it must fit; what is empty fits everything."""

    skill: str = ""
    tag: str = ""
    text: str = ""
    org_id: str | None = None
    among: Sequence[WorkspaceId] | None = None


class Terms:
    """What the agents of workspaces can do, within a transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def put(self, workspace_id: WorkspaceId, found: Sequence[Term]) -> None:
        """Keep the terms of a card in place of those of the card before."""
        await self._reader.connection.execute(sa.delete(terms).where(terms.c.workspace_id == workspace_id))
        if found:
            rows = [{"workspace_id": workspace_id, "kind": term.kind.value, "text": term.text} for term in found]
            await self._reader.connection.execute(sa.insert(terms), rows)

    async def search(self, wanted: Wanted, *, after: tuple[str, str] | None, limit: int) -> list[Workspace]:
        """Workspaces that are not removed and fit, by name, then id."""
        statement = tables.everything.where(tables.kept, *_fitting(wanted))
        if after is not None:
            statement = statement.where(sa.tuple_(workspaces.c.name, workspaces.c.id) > after)
        return await self._reader.listed(statement.order_by(workspaces.c.name, workspaces.c.id).limit(limit))


def _fitting(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    fits = [_can(kind, text) for kind, text in ((Kind.SKILL, wanted.skill), (Kind.TAG, wanted.tag)) if text]
    if wanted.text:
        fits.append(tables.saying(wanted.text))
    if wanted.org_id is not None:
        fits.append(workspaces.c.org_id == wanted.org_id)
    if wanted.among is not None:
        fits.append(workspaces.c.id.in_(wanted.among))
    return fits


def _can(kind: Kind, text: str) -> sa.ColumnElement[bool]:
    return workspaces.c.id.in_(sa.select(terms.c.workspace_id).where(terms.c.kind == kind.value, terms.c.text == text))
