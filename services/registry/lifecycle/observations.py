"""The heart of status: agents beat, fall silent, are lost and are started anew."""

from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.errors.workspaces import (
    NotSupported,
    ParentPaused,
    ProvisionerUnavailable,
    StaleToken,
    WorkspaceRemoved,
    WrongStatus,
)
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.workspace_feed import Feed
from services.registry.lifecycle.heartbeats import Effect, HeartbeatBatcher, apply_heartbeat
from services.registry.lifecycle.restarts import TemplateChoice, TemplateChooser, apply_starter_files
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import events, state_machine, validation
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import Fact, HeartbeatReceived, RestartRequested
from services.registry.workspace.model import HeartbeatNotice, Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import StarterFiles

log = structlog.get_logger()

WATCHER_LIFETIME = timedelta(seconds=10)
"""How long ago a provisioner may have been heard and still count as listening."""


NO_TEMPLATE_CHOICE = TemplateChoice()


@dataclass(frozen=True, slots=True)
class RestartResult:
    """A workspace that was asked for a fresh instance, and what that puts on where a template was applied."""

    workspace: Workspace
    kit: StarterFiles | None


class ObservationService:
    """Takes note of what agents say, and of what is said of them."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        broadcasts: Broadcasts,
        intake: HeartbeatBatcher,
        *,
        refits: TemplateChooser,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._store = store
        self._feed = feed
        self._broadcasts = broadcasts
        self._intake = intake
        self._refits = refits
        self._catalog = catalog
        self._clock = clock

    # Agents speak ────────────────────────────────────────────────────────────

    async def heartbeat(self, caller: Identity, workspace_id: WorkspaceId, pulse: HeartbeatReceived) -> Workspace:
        """Take note that an agent is alive and how it feels; raises `WorkspaceRemoved`.

        Mostly nothing changes that anybody but the next reader needs to know: then the intake has noted it already.
        """
        pulse = replace(pulse, at=self._clock.now(), generation=caller.generation)
        heard = await self._intake.hear(workspace_id, pulse)
        if heard.meaning is Effect.OLD_NEWS:
            return heard.before
        now = await self._change(workspace_id, pulse) if heard.meaning is Effect.MATTERS else heard.before
        beat = HeartbeatNotice(
            workspace_id=workspace_id,
            active_tasks=pulse.active_tasks,
            current_task=pulse.current_task,
            uptime_seconds=pulse.uptime_seconds,
        )
        self._feed.beat(beat)
        for broadcast in events.build_heartbeat_broadcasts(heard.before.vitals.current_task, beat, pulse.at):
            self._broadcasts.tell(broadcast)
        return now

    async def update_card(self, caller: Identity, workspace_id: WorkspaceId, card: bytes) -> None:
        """Replace the card of a workspace."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        read = validation.parse_card(card)
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            check_generation(caller, before)
            tx.save(replace(before, has_card=True), events.build_card_event(read))
            await tx.put_card(workspace_id, card)

    # Others speak of them ────────────────────────────────────────────────────

    async def observe(self, workspace_id: WorkspaceId, fact: Fact) -> tuple[Workspace, bool]:
        """Take note of a fact: the workspace as it is now, and whether that is news.

        An agent that is lost is started anew in the same transaction, unless somebody paused what is above it.
        """
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            now = state_machine.next_state(before, fact)
            if now is before:
                return before, False
            tx.save(now, *events.build_change_events(before, now, fact))
            log_status_change(before, now)
            if now.status is Status.OFFLINE and before.status is not Status.OFFLINE and now.restartable:
                now = await self._start_anew(tx, now)
            if now.status is Status.HIBERNATED and now.wake_wanted:
                now = self._woken(tx, now)
        return now, True

    async def restart(
        self, caller: Identity, workspace_id: WorkspaceId, request_id: str, wish: TemplateChoice = NO_TEMPLATE_CHOICE
    ) -> RestartResult:
        """Ask for a fresh instance. Answered when the wish is written.

        The same `request_id` asks once. Raises `InvalidTemplate`.
        """
        kit = await self._chosen(caller, workspace_id, wish)
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            if request_id and before.restart_request == request_id:
                return RestartResult(before, kit)
            await self._check_restartable(tx, before)
            fact = self._restart_fact(before, Reason.RESTART_REQUESTED)
            now = state_machine.next_state(before, fact)
            if now is before and not before.wake_wanted:
                raise WrongStatus(before.status)
            now = replace(now, restart_request=request_id)
            if kit is not None:
                now = apply_starter_files(now, kit)
                await tx.starter_files.save([kit])
            tx.save(now, *events.build_change_events(before, now, fact))
            await tx.audit_outbox.add(caller, AuditAction.RESTARTED, now, generation=now.generation, **_applied(kit))
            log_status_change(before, now)
        return RestartResult(tx.get_saved(now), kit)

    # Changing ────────────────────────────────────────────────────────────────

    async def _chosen(self, caller: Identity, workspace_id: WorkspaceId, wish: TemplateChoice) -> StarterFiles | None:
        """What the restart puts on; templates are files, so they are read before the transaction."""
        if wish == NO_TEMPLATE_CHOICE:
            return None
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            await self._check_restartable(tx, workspace)
        return await self._refits.chosen(workspace, wish)

    async def _change(self, workspace_id: WorkspaceId, pulse: HeartbeatReceived) -> Workspace:
        """Judge a heartbeat again, locked: it changes what others need to know."""
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            now = apply_heartbeat(before, pulse)
            if now is not before:
                if pulse.card is not None and not before.has_card:
                    await tx.put_card(workspace_id, pulse.card)
                tx.save(now, *events.build_change_events(before, now, pulse))
                log_status_change(before, now)
        return now

    async def _start_anew(self, tx: Transaction, lost: Workspace) -> Workspace:
        if await tx.tree.find_paused_ancestor(lost.id) is not None:
            return lost
        fact = self._restart_fact(lost, Reason.AUTO_RESTART)
        now = state_machine.next_state(lost, fact)
        tx.save(now, *events.build_change_events(lost, now, fact))
        log_status_change(lost, now)
        return now

    def _woken(self, tx: Transaction, asleep: Workspace) -> Workspace:
        """Somebody wanted it while it fell asleep."""
        fact = self._restart_fact(asleep, Reason.WAKE)
        now = state_machine.next_state(asleep, fact)
        tx.save(now, *events.build_change_events(asleep, now, fact))
        log_status_change(asleep, now)
        return now

    async def _check_restartable(self, tx: Transaction, workspace: Workspace) -> None:
        if workspace.status is Status.REMOVED:
            raise WorkspaceRemoved
        if workspace.external:
            raise NotSupported("external workspaces cannot be restarted")
        paused = await tx.tree.find_paused_ancestor(workspace.id)
        if paused is not None:
            raise ParentPaused(paused)
        if not await tx.revisions.is_watched(self._clock.now() - WATCHER_LIFETIME):
            raise ProvisionerUnavailable

    def _restart_fact(self, workspace: Workspace, reason: Reason) -> RestartRequested:
        return RestartRequested(
            at=self._clock.now(),
            generation=workspace.generation,
            reason=reason,
            limit=self._catalog.provision_limit(workspace.runtime),
        )


def _applied(kit: StarterFiles | None) -> dict[str, str]:
    return {"template": kit.template} if kit else {}


def check_generation(caller: Identity, workspace: Workspace) -> None:
    """A token of an instance that was replaced opens nothing, even before auth has revoked it."""
    if caller.generation not in {None, workspace.generation}:
        raise StaleToken


def log_status_change(before: Workspace, now: Workspace) -> None:
    """A line in the log for each change of status, and for each fresh instance."""
    if (before.status, before.generation) != (now.status, now.generation):
        log.info(
            "status changed",
            workspace=now.id,
            status=now.status,
            before=before.status,
            reason=now.status_reason,
            generation=now.generation,
        )
