"""How an agent is let in: it says where it is and what it can do, and is told what it lacks."""

from dataclasses import dataclass, replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.identity import Identity, Kind
from services.registry.clients import Auth, Credentials
from services.registry.errors.workspaces import InvalidBody, WorkspaceRemoved, WrongStatus
from services.registry.lifecycle.address_check import Addressing
from services.registry.lifecycle.observations import check_generation, tell_change
from services.registry.store.transaction import Store
from services.registry.workspace import events, routes, state_machine, validation
from services.registry.workspace.facts import Registered
from services.registry.workspace.model import DeliveryMode, Status, Workspace, WorkspaceId

log = structlog.get_logger()


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


class Door:
    """Where agents register."""

    def __init__(self, store: Store, *, auth: Auth, addressing: Addressing, clock: Clock) -> None:
        self._store = store
        self._auth = auth
        self._addressing = addressing
        self._clock = clock

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

    async def _judge(self, workspace: Workspace, said: Registration) -> _Judged:
        card = validation.read_card(said.card)
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
                state_machine.after(before, Registered(at=at, generation=caller.generation)),
                url=judged.url,
                delivery_mode=judged.delivery_mode,
                has_card=True,
                registered_at=at,
                register_failed_at=None,
                vitals=replace(before.vitals, last_seen=at),
            )
            tx.save(now, events.of_registration(now, judged.card))
            await tx.put_card(workspace_id, said.card)
            tell_change(before, now)

    async def _lacking(self, workspace_id: WorkspaceId) -> Credentials:
        """What the agent lacks; nothing where auth cannot say, because the next register asks again."""
        try:
            return await self._auth.ensure_for_bearer(workspace_id)
        except ServiceError as error:
            log.warning("inbound secret not told", workspace=workspace_id, error=repr(error))
            return Credentials()


def _welcome(caller: Identity, workspace: Workspace) -> Workspace:
    """The workspace, if it may register now."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    if workspace.status not in state_machine.REACHABLE:
        raise WrongStatus(workspace.status)
    check_generation(caller, workspace)
    return workspace
