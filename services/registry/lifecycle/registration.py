"""Registers agents: validates address and card, brings the workspace online, and returns missing credentials."""

from dataclasses import dataclass, replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidArgument, ServiceError
from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.card_keys import NO_CARD_KEYS, CardKeys
from services.registry.clients import AuthClient, Credentials
from services.registry.errors.workspaces import InvalidBody, WorkspaceRemoved, WrongStatus
from services.registry.lifecycle import transitions
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.store.transaction import Store
from services.registry.workspace import events, routes, state_machine, validation
from services.registry.workspace.card_reading import apply_card
from services.registry.workspace.facts import Registered
from services.registry.workspace.model import DeliveryMode, SignatureState, Status, Workspace, WorkspaceId
from services.registry.workspace.registration_warnings import list_warnings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """What an agent sends when it registers."""

    card: bytes
    url: str = ""
    delivery_mode: DeliveryMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResult:
    """What a registered agent receives."""

    delivery_mode: DeliveryMode
    credentials: Credentials
    warnings: tuple[str, ...] = ()
    card_signature: SignatureState = SignatureState.UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class _ValidatedRequest:
    card: object
    card_bytes: bytes
    card_signature: SignatureState
    url: str
    delivery_mode: DeliveryMode


class RegistrationService:
    """Registers agents."""

    def __init__(
        self,
        store: Store,
        *,
        auth: AuthClient,
        address_checker: AddressChecker,
        clock: Clock,
        card_keys: CardKeys = NO_CARD_KEYS,
    ) -> None:
        self._store = store
        self._card_keys = card_keys
        self._auth = auth
        self._address_checker = address_checker
        self._clock = clock

    async def register(
        self, caller: Identity, workspace_id: WorkspaceId, request: RegistrationRequest
    ) -> RegistrationResult:
        """Bring a workspace online.

        Returns a token if none is live, and the inbound secret. If an agent with a token sends a refused request, the
        failure is stored with its workspace. Raises `WorkspaceRemoved`, `WrongStatus`, `StaleToken`, `InvalidBody`,
        `CardTooLarge`, or what auth refuses an agent without a token with.
        """
        async with self._store.begin() as tx:
            workspace = _require_registrable(caller, await tx.get(workspace_id))
        try:
            validated = await self._validate(workspace, request)
        except InvalidArgument as refusal:
            await self._store_failure(caller, workspace_id, refusal)
            raise
        if caller.kind is Kind.ANONYMOUS:
            credentials = await self._register_anonymous(caller, workspace_id, validated)
        else:
            await self._bring_online(caller, workspace_id, validated)
            credentials = await self._find_missing_credentials(workspace_id)
        mode = validated.delivery_mode
        warnings = list_warnings(
            validated.card, delivery_mode=mode, url=request.url, credential_keys=credentials.agent_credential_keys
        )
        return RegistrationResult(
            delivery_mode=mode,
            credentials=credentials,
            warnings=warnings,
            card_signature=validated.card_signature,
        )

    async def _validate(self, workspace: Workspace, request: RegistrationRequest) -> _ValidatedRequest:
        card = validation.parse_card(request.card)
        signature = await self._card_keys.judge(card)
        mode = routes.choose_delivery_mode(request.delivery_mode, workspace.delivery_mode, external=workspace.external)
        if mode is DeliveryMode.PUSH:
            await self._check_url(workspace, request.url)
        return _ValidatedRequest(
            card=card,
            card_bytes=request.card,
            card_signature=signature,
            url=request.url if mode is DeliveryMode.PUSH else "",
            delivery_mode=mode,
        )

    async def _check_url(self, workspace: Workspace, url: str) -> None:
        if not url:
            raise InvalidBody("url_validate_failed", "url is required for delivery mode push")
        if url.rstrip("/") != workspace.backend_address.rstrip("/"):
            hostname = routes.get_instance_hostname(workspace)
            refusal = await self._address_checker.find_refusal(url, own_name=hostname)
            if refusal is not None:
                raise InvalidBody("url_validate_failed", refusal.value)

    async def _store_failure(self, caller: Identity, workspace_id: WorkspaceId, refusal: InvalidArgument) -> None:
        reason = refusal.details.get("reason", refusal.reason)
        log.warning("Registry register: workspace=%s boot_register_failed status=%s", workspace_id, 400, reason=reason)
        if caller.kind is not Kind.WORKSPACE:
            return
        async with self._store.begin() as tx:
            await tx.patch([workspace_id], register_failed_at=self._clock.now())

    async def _register_anonymous(
        self, caller: Identity, workspace_id: WorkspaceId, validated: _ValidatedRequest
    ) -> Credentials:
        """Auth decides before anything is written: without a token, only the first register call is allowed."""
        credentials = await self._auth.ensure_credentials(workspace_id, anonymous=True)
        try:
            await self._bring_online(caller, workspace_id, validated)
        except Exception:
            if credentials.token_id:
                await self._auth.revoke_token(workspace_id, credentials.token_id)
            raise
        return credentials

    async def _bring_online(self, caller: Identity, workspace_id: WorkspaceId, validated: _ValidatedRequest) -> None:
        def decide(before: Workspace, fact: Registered) -> Workspace:
            after = state_machine.next_state(before, fact)
            return replace(
                apply_card(after, validated.card, validated.card_signature),
                url=validated.url,
                delivery_mode=validated.delivery_mode,
                registered_at=fact.at,
                register_failed_at=None,
                vitals=replace(after.vitals, last_seen=fact.at),
            )

        async with self._store.begin() as tx:
            before = _require_registrable(caller, await tx.get(workspace_id, lock=True))
            fact = Registered(at=self._clock.now(), generation=caller.generation)
            transitions.apply(
                tx,
                before,
                fact,
                decide=decide,
                build_events=lambda _, after, __: [events.build_registration_event(after, validated.card)],
            )
            await tx.put_card(workspace_id, validated.card_bytes)

    async def _find_missing_credentials(self, workspace_id: WorkspaceId) -> Credentials:
        """Return what the agent lacks; nothing if auth cannot answer, because the next register call asks again."""
        try:
            return await self._auth.ensure_credentials(workspace_id, anonymous=False)
        except ServiceError as error:
            log.warning("inbound secret not returned", workspace=workspace_id, error=repr(error))
            return Credentials()


def _require_registrable(caller: Identity, workspace: Workspace) -> Workspace:
    """Return the workspace if the caller may register it in its present status."""
    if workspace.status is Status.REMOVED:
        raise WorkspaceRemoved
    if not state_machine.may_register(workspace):
        raise WrongStatus(workspace.status)
    access.check_generation(caller, workspace)
    return workspace
