"""How an agent is let in: it says where it is and what it can do, and is told what it lacks."""

from dataclasses import dataclass, replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.identity import Identity, Kind
from services.registry.clients import AuthClient, Credentials
from services.registry.errors.workspaces import InvalidBody, WorkspaceRemoved, WrongStatus
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.lifecycle.observations import check_generation, log_status_change
from services.registry.store.transaction import Store
from services.registry.workspace import events, routes, state_machine, validation
from services.registry.workspace.facts import Registered
from services.registry.workspace.model import DeliveryMode, Status, Workspace, WorkspaceId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """What an agent says of itself when it comes."""

    card: bytes
    url: str = ""
    delivery_mode: DeliveryMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResult:
    """What it is told."""

    delivery_mode: DeliveryMode
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValidatedRequest:
    card: object
    url: str
    delivery_mode: DeliveryMode


class RegistrationService:
    """Where agents register."""

    def __init__(self, store: Store, *, auth: AuthClient, address_checker: AddressChecker, clock: Clock) -> None:
        self._store = store
        self._auth = auth
        self._address_checker = address_checker
        self._clock = clock

    async def register(
        self, caller: Identity, workspace_id: WorkspaceId, said: RegistrationRequest
    ) -> RegistrationResult:
        """Bring a workspace online. Answers with what the agent lacks: a token if none is live, the inbound secret.

        Refused content is remembered against the agent, if it came with its token.
        """
        async with self._store.begin() as tx:
            workspace = _require_registrable(caller, await tx.get(workspace_id))
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
        return RegistrationResult(delivery_mode=judged.delivery_mode, credentials=credentials)

    async def _judge(self, workspace: Workspace, said: RegistrationRequest) -> _ValidatedRequest:
        card = validation.parse_card(said.card)
        mode = routes.choose_delivery_mode(said.delivery_mode, workspace.delivery_mode, external=workspace.external)
        if mode is DeliveryMode.POLL:
            return _ValidatedRequest(card=card, url="", delivery_mode=mode)
        if not said.url:
            raise InvalidBody("url_validate_failed", "url is required for delivery mode push")
        if said.url.rstrip("/") != workspace.backend_address.rstrip("/"):
            refusal = await self._address_checker.find_refusal(
                said.url, own_name=routes.get_instance_hostname(workspace)
            )
            if refusal is not None:
                raise InvalidBody("url_validate_failed", refusal.value)
        return _ValidatedRequest(card=card, url=said.url, delivery_mode=mode)

    async def _remember_failure(self, caller: Identity, workspace_id: WorkspaceId, refusal: InvalidArgument) -> None:
        reason = refusal.details.get("reason", refusal.reason)
        log.warning("Registry register: workspace=%s boot_register_failed status=%s", workspace_id, 400, reason=reason)
        if caller.kind is not Kind.WORKSPACE:
            return
        async with self._store.begin() as tx:
            await tx.patch([workspace_id], register_failed_at=self._clock.now())

    async def _admit_stranger(
        self, caller: Identity, workspace_id: WorkspaceId, said: RegistrationRequest, judged: _ValidatedRequest
    ) -> Credentials:
        """Without a token only the first may come: auth decides who that is, before anything is written."""
        credentials = await self._auth.ensure_credentials(workspace_id, anonymous=True)
        try:
            await self._bring_online(caller, workspace_id, said, judged)
        except Exception:
            if credentials.token_id:
                await self._auth.revoke_token(workspace_id, credentials.token_id)
            raise
        return credentials

    async def _bring_online(
        self, caller: Identity, workspace_id: WorkspaceId, said: RegistrationRequest, judged: _ValidatedRequest
    ) -> None:
        async with self._store.begin() as tx:
            before = _require_registrable(caller, await tx.get(workspace_id, lock=True))
            at = self._clock.now()
            now = replace(
                state_machine.next_state(before, Registered(at=at, generation=caller.generation)),
                url=judged.url,
                delivery_mode=judged.delivery_mode,
                has_card=True,
                registered_at=at,
                register_failed_at=None,
                vitals=replace(before.vitals, last_seen=at),
            )
            tx.save(now, events.build_registration_event(now, judged.card))
            await tx.put_card(workspace_id, said.card)
            log_status_change(before, now)

    async def _lacking(self, workspace_id: WorkspaceId) -> Credentials:
        """What the agent lacks; nothing where auth cannot say, because the next register asks again."""
        try:
            return await self._auth.ensure_credentials(workspace_id, anonymous=False)
        except ServiceError as error:
            log.warning("inbound secret not told", workspace=workspace_id, error=repr(error))
            return Credentials()


def _require_registrable(caller: Identity, workspace: Workspace) -> Workspace:
    """The workspace, if it may register now."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    if workspace.status not in state_machine.REGISTRABLE_STATUSES:
        raise WrongStatus(workspace.status)
    check_generation(caller, workspace)
    return workspace
