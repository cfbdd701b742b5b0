"""How agents are: they register, beat, fall silent and are restarted. The one place where a status changes."""

from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.identity import Identity, Kind
from services.registry import callers, events, fields, routes, status
from services.registry.addressing import Addressing
from services.registry.calls import Auth, Credentials
from services.registry.catalog import Catalog
from services.registry.errors import (
    InvalidBody,
    NotSupported,
    ParentPaused,
    ProvisionerUnavailable,
    StaleToken,
    WorkspaceRemoved,
    WrongStatus,
)
from services.registry.feed import Feed
from services.registry.model import (
    Beat,
    DeliveryMode,
    Fact,
    Pulse,
    Reason,
    Registered,
    RestartRequested,
    Status,
    Workspace,
    WorkspaceId,
)
from services.registry.store import Store, Transaction

log = structlog.get_logger()

ATTENTION = timedelta(seconds=10)
"""How long ago a provisioner may have been heard and still count as listening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an agent says of itself when it comes."""

    card: bytes
    url: str = ""
    delivery_mode: DeliveryMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What it is told."""

    delivery_mode: DeliveryMode
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    card: object
    url: str
    delivery_mode: DeliveryMode


class Presence:
    """Takes note of what agents say, and of what is said of them."""

    def __init__(
        self, store: Store, feed: Feed, *, auth: Auth, catalog: Catalog, addressing: Addressing, clock: Clock
    ) -> None:
        self._store = store
        self._feed = feed
        self._auth = auth
        self._catalog = catalog
        self._addressing = addressing
        self._clock = clock

    # Agents speak ────────────────────────────────────────────────────────────

    async def register(self, caller: Identity, workspace_id: WorkspaceId, said: Registration) -> Admission:
        """Bring a workspace online. Answers with what the agent lacks: a token if none is live, the inbound secret.

        Refused content is remembered against the agent, if it came with its token.
        """
        async with self._store.begin() as tx:
            workspace = _welcome(caller, await tx.get(workspace_id))
        try:
            judged = await self._judge(workspace, said)
        except InvalidArgument as refusal:
            await self._remember_failure(caller, workspace_id, refusal)
            raise
        if caller.kind is Kind.ANONYMOUS:
            credentials = await self._admit_stranger(caller, workspace_id, said, judged)
        else:
            await self._bring_online(caller, workspace_id, said, judged)
            credentials = await self._lacking(workspace_id)
        return Admission(delivery_mode=judged.delivery_mode, credentials=credentials)

    async def heartbeat(self, caller: Identity, workspace_id: WorkspaceId, pulse: Pulse) -> Workspace:
        """Take note that an agent is alive and how it feels; raises `WorkspaceRemoved`.

        Mostly nothing changes that anybody but the next reader needs to know: then one narrow row is written and
        nothing is locked.
        """
        pulse = replace(pulse, at=self._clock.now(), generation=caller.generation)
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id)
            now = _felt(before, pulse)
            if _matters(before, now):
                now = await self._change(tx, workspace_id, pulse)
            elif now is not before:
                await tx.note(now)
        if now is not before:
            self._feed.beat(
                Beat(
                    workspace_id=workspace_id,
                    active_tasks=pulse.active_tasks,
                    current_task=pulse.current_task,
                    uptime_seconds=pulse.uptime_seconds,
                )
            )
        return now

    async def update_card(self, caller: Identity, workspace_id: WorkspaceId, card: bytes) -> None:
        """Replace the card of a workspace."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        read = fields.read_card(card)
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            _check_generation(caller, before)
            tx.save(replace(before, has_card=True), events.of_card(read))
            await tx.put_card(workspace_id, card)

    # Others speak of them ────────────────────────────────────────────────────

    async def observe(self, workspace_id: WorkspaceId, fact: Fact) -> tuple[Workspace, bool]:
        """Take note of a fact: the workspace as it is now, and whether that is news.

        An agent that is lost is started anew in the same transaction, unless somebody paused what is above it.
        """
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            now = status.after(before, fact)
            if now is before:
                return before, False
            tx.save(now, *events.of_change(before, now, fact))
            _tell(before, now)
            if now.status is Status.OFFLINE and before.status is not Status.OFFLINE and now.restartable:
                now = await self._start_anew(tx, now)
        return now, True

    async def restart(self, caller: Identity, workspace_id: WorkspaceId, request_id: str) -> Workspace:
        """Ask for a fresh instance. Answered when the wish is written; the same `request_id` asks once."""
        async with self._store.begin() as tx:
            before = await callers.reached(tx, caller, workspace_id, lock=True)
            if request_id and before.restart_request == request_id:
                return before
            await self._check_restartable(tx, before)
            fact = self._restart_fact(before, Reason.RESTART_REQUESTED)
            now = status.after(before, fact)
            if now is before:
                raise WrongStatus(before.status)
            now = replace(now, restart_request=request_id)
            tx.save(now, *events.of_change(before, now, fact))
            _tell(before, now)
        return tx.numbered(now)

    # Registering ─────────────────────────────────────────────────────────────

    async def _judge(self, workspace: Workspace, said: Registration) -> _Judged:
        card = fields.read_card(said.card)
        mode = routes.delivery_mode(said.delivery_mode, workspace.delivery_mode, external=workspace.external)
        if mode is DeliveryMode.POLL:
            return _Judged(card=card, url="", delivery_mode=mode)
        if not said.url:
            raise InvalidBody("url_validate_failed", "url is required for delivery mode push")
        if said.url.rstrip("/") != workspace.backend_address.rstrip("/"):
            refusal = await self._addressing.refusal(said.url, own_name=routes.own_name(workspace))
            if refusal is not None:
                raise InvalidBody("url_validate_failed", refusal.value)
        return _Judged(card=card, url=said.url, delivery_mode=mode)

    async def _remember_failure(self, caller: Identity, workspace_id: WorkspaceId, refusal: InvalidArgument) -> None:
        reason = refusal.details.get("reason", refusal.reason)
        log.warning("Registry register: workspace=%s boot_register_failed status=%s", workspace_id, 400, reason=reason)
        if caller.kind is not Kind.WORKSPACE:
            return
        async with self._store.begin() as tx:
            await tx.patch([workspace_id], register_failed_at=self._clock.now())

    async def _admit_stranger(
        self, caller: Identity, workspace_id: WorkspaceId, said: Registration, judged: _Judged
    ) -> Credentials:
        """Without a token only the first may come: auth decides who that is, before anything is written."""
        credentials = await self._auth.ensure_for_anybody(workspace_id)
        try:
            await self._bring_online(caller, workspace_id, said, judged)
        except Exception:
            if credentials.token_id:
                await self._auth.revoke(workspace_id, credentials.token_id)
            raise
        return credentials

    async def _bring_online(
        self, caller: Identity, workspace_id: WorkspaceId, said: Registration, judged: _Judged
    ) -> None:
        async with self._store.begin() as tx:
            before = _welcome(caller, await tx.get(workspace_id, lock=True))
            at = self._clock.now()
            now = replace(
                status.after(before, Registered(at=at, generation=caller.generation)),
                url=judged.url,
                delivery_mode=judged.delivery_mode,
                has_card=True,
                registered_at=at,
                register_failed_at=None,
                vitals=replace(before.vitals, last_seen=at),
            )
            tx.save(now, events.of_registration(now, judged.card))
            await tx.put_card(workspace_id, said.card)
            _tell(before, now)

    async def _lacking(self, workspace_id: WorkspaceId) -> Credentials:
        """What the agent lacks; nothing where auth cannot say, because the next register asks again."""
        try:
            return await self._auth.ensure_for_bearer(workspace_id)
        except ServiceError as error:
            log.warning("inbound secret not told", workspace=workspace_id, error=repr(error))
            return Credentials()

    # Changing ────────────────────────────────────────────────────────────────

    async def _change(self, tx: Transaction, workspace_id: WorkspaceId, pulse: Pulse) -> Workspace:
        before = await tx.get(workspace_id, lock=True)
        now = _felt(before, pulse)
        if now is before:
            return now
        if pulse.card is not None and not before.has_card:
            await tx.put_card(workspace_id, pulse.card)
        tx.save(now, *events.of_change(before, now, pulse))
        _tell(before, now)
        return now

    async def _start_anew(self, tx: Transaction, lost: Workspace) -> Workspace:
        if await tx.paused_above(lost.id) is not None:
            return lost
        fact = self._restart_fact(lost, Reason.AUTO_RESTART)
        now = status.after(lost, fact)
        tx.save(now, *events.of_change(lost, now, fact))
        _tell(lost, now)
        return now

    async def _check_restartable(self, tx: Transaction, workspace: Workspace) -> None:
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        if workspace.external:
            raise NotSupported("external workspaces cannot be restarted")
        paused = await tx.paused_above(workspace.id)
        if paused is not None:
            raise ParentPaused(paused)
        if not await tx.is_watched(self._clock.now() - ATTENTION):
            raise ProvisionerUnavailable

    def _restart_fact(self, workspace: Workspace, reason: Reason) -> RestartRequested:
        return RestartRequested(
            at=self._clock.now(),
            generation=workspace.generation,
            reason=reason,
            limit=self._catalog.provision_limit(workspace.runtime),
        )


def _felt(workspace: Workspace, pulse: Pulse) -> Workspace:
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    return status.after(status.heard(workspace, pulse), pulse)


def _matters(before: Workspace, now: Workspace) -> bool:
    """Whether more changed than how the agent feels, or that decides whether it may go on."""
    return replace(now, vitals=before.vitals) != before or routes.over_budget(before) != routes.over_budget(now)


def _welcome(caller: Identity, workspace: Workspace) -> Workspace:
    """The workspace, if it may register now."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    if workspace.status not in status.REACHABLE:
        raise WrongStatus(workspace.status)
    _check_generation(caller, workspace)
    return workspace


def _check_generation(caller: Identity, workspace: Workspace) -> None:
    """A token of an instance that was replaced opens nothing, even before auth has revoked it."""
    if caller.generation not in {None, workspace.generation}:
        raise StaleToken


def _tell(before: Workspace, now: Workspace) -> None:
    if (before.status, before.generation) != (now.status, now.generation):
        log.info(
            "status changed",
            workspace=now.id,
            status=now.status,
            before=before.status,
            reason=now.status_reason,
            generation=now.generation,
        )
