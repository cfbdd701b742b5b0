"""Everything said to the database."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.model import (
    CredentialState,
    Digest,
    NewToken,
    OrgMembership,
    Placement,
    Revocation,
    RevocationTarget,
    TokenId,
    WorkspaceBearer,
    WorkspaceId,
)
from services.auth.store.audit import Chain
from services.auth.store.orgs import OrgTokens
from services.auth.store.sessions import Sessions
from services.auth.store.tokens import WorkspaceTokens
from services.auth.tables.keys import (
    DIGESTS,
    IN_FORCE,
    LIVE,
    LIVE_TOKENS,
    PLACEMENTS,
    REVOCATIONS,
    TOKENS,
    placement_of,
    row_of,
    scope_of,
)
from services.auth.tables.tokens import ORG_TOKENS
from services.chassis.database import transaction

CHANNEL = "auth_revocations"
"""What rings when a revocation is committed."""

INITIAL_REVISION = 1
"""Where the feed stands before the first revocation."""

_HOLDERS = (
    sa.select(TOKENS.c.digest, TOKENS.c.id, TOKENS.c.workspace_id, TOKENS.c.generation, TOKENS.c.expires_at)
    .join(PLACEMENTS)
    .where(TOKENS.c.digest == sa.any_(DIGESTS), LIVE)
)
"""Asked at nearly every call of the plane, so it is built once."""


class Store:
    """Opens transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """All or nothing; committed at the end of the block."""
        async with transaction(self._engine) as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Transaction"]:
        """Each statement for itself: for single reads, which need no BEGIN and no COMMIT."""
        async with transaction(self._reads) as connection:
            yield Transaction(connection)


class Transaction:
    """One transaction, with a method for each thing auth wants of it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.chain = Chain(connection)
        self.tokens = WorkspaceTokens(connection)
        self.orgs = OrgTokens(connection)
        self.sessions = Sessions(connection)

    # Tokens ───────────────────────────────────────────────────────────────────

    async def find_holders(self, digests: Collection[Digest], *, now: datetime) -> Mapping[Digest, WorkspaceBearer]:
        """Who holds those of the tokens that are live."""
        rows = await self._connection.execute(_HOLDERS, {"digests": list(digests), "now": now})
        return {
            Digest(row.digest): WorkspaceBearer(
                token_id=TokenId(row.id),
                workspace_id=WorkspaceId(row.workspace_id),
                generation=row.generation,
                expires_at=row.expires_at,
            )
            for row in rows
        }

    async def standing(self, workspace_id: WorkspaceId | None, *, now: datetime) -> CredentialState:
        """How the workspace is known."""
        keyed = LIVE_TOKENS.exists().label("keyed")
        row = await self._first(
            sa.select(PLACEMENTS.c.barred_at, keyed).where(PLACEMENTS.c.workspace_id == workspace_id), now=now
        )
        if row is None:
            return CredentialState.UNKNOWN
        if row.barred_at is not None:
            return CredentialState.BARRED
        return CredentialState.HAS_LIVE_TOKEN if row.keyed else CredentialState.NO_LIVE_TOKEN

    async def add_token(
        self,
        token_id: TokenId,
        workspace_id: WorkspaceId,
        fresh: NewToken,
        *,
        generation: int | None,
        now: datetime,
        note: str = "",
        expires_at: datetime | None = None,
    ) -> None:
        """Put a token in force."""
        await self._connection.execute(
            sa.insert(TOKENS).values(
                id=token_id,
                workspace_id=workspace_id,
                digest=fresh.digest,
                prefix=fresh.prefix,
                generation=generation,
                created_at=now,
                note=note or None,
                expires_at=expires_at,
            )
        )

    async def revoke(
        self, workspace_id: WorkspaceId, *, now: datetime, only: TokenId | None = None
    ) -> Sequence[Digest]:
        """Revoke the tokens of a workspace, or one of them; the digests of those that were in force."""
        meant = sa.true() if only is None else TOKENS.c.id == only
        rows = await self._connection.execute(
            sa.update(TOKENS)
            .where(TOKENS.c.workspace_id == workspace_id, IN_FORCE, meant)
            .values(revoked_at=now)
            .returning(TOKENS.c.digest),
            {"now": now},
        )
        return [Digest(row.digest) for row in rows]

    async def touch(self, used: Mapping[TokenId, datetime]) -> None:
        """Note when tokens were last used. A row that another transaction holds is left for the next use."""
        ids = sa.bindparam("ids", list(used.keys()), sa.ARRAY(sa.Text))
        times = sa.bindparam("times", list(used.values()), sa.ARRAY(sa.TIMESTAMP(timezone=True)))
        uses = sa.func.unnest(ids, times).table_valued("id", "at", name="uses").render_derived()
        for table in (TOKENS, ORG_TOKENS):
            free = sa.select(table.c.id).where(table.c.id == sa.any_(ids)).order_by(table.c.id)
            await self._connection.execute(
                sa.update(table)
                .where(table.c.id == uses.c.id, table.c.id.in_(free.with_for_update(skip_locked=True, key_share=True)))
                .values(last_used_at=sa.func.greatest(table.c.last_used_at, uses.c.at))
            )

    # Placements ───────────────────────────────────────────────────────────────

    async def find_placement(self, workspace_id: WorkspaceId) -> Placement | None:
        """What is kept of the workspace."""
        return placement_of(await self._first(_placed([workspace_id])))

    async def lock_placement(self, workspace_id: WorkspaceId) -> Placement | None:
        """The same, and nobody else changes it or its tokens until this transaction ends."""
        return placement_of(await self._first(_placed([workspace_id]).with_for_update()))

    async def lock_homes(self, workspace_ids: Collection[WorkspaceId]) -> Sequence[OrgMembership]:
        """Where those of the workspaces live that are known; in one order, so that two callers never cross."""
        rows = await self._connection.execute(
            _placed(workspace_ids).order_by(PLACEMENTS.c.workspace_id).with_for_update()
        )
        return [OrgMembership(WorkspaceId(row.workspace_id), row.org_id) for row in rows]

    async def place(self, homes: Collection[OrgMembership], *, now: datetime, confirmed_at: datetime | None) -> None:
        """Keep where workspaces live. What was confirmed or barred stays so."""
        if not homes:
            return
        wanted = insert(PLACEMENTS).values(placed_at=now, confirmed_at=confirmed_at)
        await self._connection.execute(
            wanted.on_conflict_do_update(
                index_elements=[PLACEMENTS.c.workspace_id],
                set_={
                    "org_id": wanted.excluded.org_id,
                    "placed_at": wanted.excluded.placed_at,
                    "confirmed_at": sa.func.coalesce(PLACEMENTS.c.confirmed_at, wanted.excluded.confirmed_at),
                },
            ),
            [
                {"workspace_id": home.workspace_id, "org_id": home.org_id}
                for home in sorted(homes, key=lambda home: home.workspace_id)
            ],
        )

    async def bar(self, workspace_id: WorkspaceId, *, now: datetime) -> None:
        """Bar the workspace, known or not. It was created, or nobody would remove it: never swept."""
        await self._connection.execute(
            insert(PLACEMENTS)
            .values(workspace_id=workspace_id, org_id="", placed_at=now, confirmed_at=now, barred_at=now)
            .on_conflict_do_update(
                index_elements=[PLACEMENTS.c.workspace_id],
                set_={
                    "barred_at": sa.func.coalesce(PLACEMENTS.c.barred_at, now),
                    "confirmed_at": sa.func.coalesce(PLACEMENTS.c.confirmed_at, now),
                },
            )
        )

    async def raise_generation(self, workspace_id: WorkspaceId, generation: int) -> None:
        """From now on no token of an earlier generation verifies."""
        await self._save(workspace_id, lowest_generation=generation)

    async def save_inbound_secret(self, workspace_id: WorkspaceId, sealed: str) -> None:
        """Keep the sealed inbound secret in place of what was there."""
        await self._save(workspace_id, inbound_secret=sealed)

    async def forget(self, workspace_id: WorkspaceId) -> bool:
        """Erase the workspace and its tokens; whether there was anything to erase."""
        result = await self._connection.execute(sa.delete(PLACEMENTS).where(PLACEMENTS.c.workspace_id == workspace_id))
        return result.rowcount > 0

    async def forget_unconfirmed(self, *, placed_before: datetime) -> Sequence[WorkspaceId]:
        """Erase the workspaces that were placed before and never confirmed; which they were."""
        rows = await self._connection.execute(
            sa.delete(PLACEMENTS)
            .where(PLACEMENTS.c.confirmed_at.is_(None), PLACEMENTS.c.placed_at < placed_before)
            .returning(PLACEMENTS.c.workspace_id)
        )
        return [WorkspaceId(row.workspace_id) for row in rows]

    # Revocations ──────────────────────────────────────────────────────────────

    async def announce(self, scopes: Collection[RevocationTarget], *, now: datetime) -> None:
        """Tell the feed. The last thing said in a transaction: from here to the commit only one at a time proceeds.

        Hence revisions are committed in their order, and who has read one has read all before it.
        """
        if not scopes:
            return
        turn = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("auth.revocations", 0))
        await self._connection.execute(sa.select(turn))
        await self._connection.execute(
            sa.insert(REVOCATIONS), [row_of(scope) | {"revoked_at": now} for scope in scopes]
        )
        await self._connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    async def horizon(self) -> int:
        """The revision after which all revocations are still kept."""
        oldest = sa.select(sa.func.min(REVOCATIONS.c.revision) - 1).scalar_subquery()
        found: int = (
            await self._connection.execute(sa.select(sa.func.coalesce(oldest, INITIAL_REVISION)))
        ).scalar_one()
        return found

    async def revocations(self, *, after: int, at_most: int) -> Sequence[Revocation]:
        """The next revocations after a revision, in order."""
        rows = await self._connection.execute(
            sa.select(REVOCATIONS).where(REVOCATIONS.c.revision > after).order_by(REVOCATIONS.c.revision).limit(at_most)
        )
        return [Revocation(row.revision, scope_of(row)) for row in rows]

    async def prune_revocations(self, *, keep: int) -> int:
        """Erase all but the newest; how many were erased."""
        newest = sa.select(REVOCATIONS.c.revision).order_by(REVOCATIONS.c.revision.desc()).offset(keep).limit(1)
        old = sa.delete(REVOCATIONS).where(REVOCATIONS.c.revision <= newest.scalar_subquery())
        return (await self._connection.execute(old)).rowcount

    async def answer(self) -> None:
        """Return if the database answers."""
        await self._connection.execute(sa.select(1))

    async def _first(self, query: sa.Select[Any], **values: object) -> Any:  # noqa: ANN401 - rows are untyped
        return (await self._connection.execute(query, values)).first()

    async def _save(self, workspace_id: WorkspaceId, **values: object) -> None:
        await self._connection.execute(
            sa.update(PLACEMENTS).where(PLACEMENTS.c.workspace_id == workspace_id).values(**values)
        )


def _placed(workspace_ids: Collection[WorkspaceId]) -> sa.Select[Any]:
    return sa.select(PLACEMENTS).where(PLACEMENTS.c.workspace_id.in_(workspace_ids))
