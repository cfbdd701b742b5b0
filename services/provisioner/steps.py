"""One step for one workspace: say what is news, or start, stop, or forget its instance."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError, Unavailable
from services.provisioner import environment, plan, spec
from services.provisioner.backends.base import Backend
from services.provisioner.calls import Auth, Registry
from services.provisioner.errors import (
    GlobalSecretUnreadable,
    MissingEnvironment,
    NoAdapter,
    NoBackend,
    StartFailed,
    StopFailed,
    WorkspaceSecretUnreadable,
)
from services.provisioner.model import Exited, Fact, Failed, Instance, StopRefused, Wish
from services.provisioner.plan import Step

NOW = timedelta(0)
"""No pause at all."""

REFUSALS = (NoBackend, NoAdapter, MissingEnvironment, GlobalSecretUnreadable, WorkspaceSecretUnreadable)
"""Why an instance is not started, where that is nobody's fault here."""

log = structlog.get_logger()


@dataclass(slots=True)
class Desk:
    """What is remembered about one workspace from step to step. Losing it costs a repeated fact, nothing more."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: bool = False
    told: Fact | None = None
    starts: list[datetime] = field(default_factory=list)
    ended: datetime | None = None
    failures: int = 0


class Steps:
    """What can be done about a workspace. Each step may raise, or be cancelled half way, and is then taken again."""

    def __init__(self, *, backend: Backend, registry: Registry, auth: Auth, clock: Clock, platform_url: str) -> None:
        self._backend = backend
        self._registry = registry
        self._auth = auth
        self._clock = clock
        self._platform_url = platform_url

    def needed(self, wish: Wish, instance: Instance | None, *, told: Fact | None) -> bool:
        """Whether there is anything to say or to do."""
        if self._news(wish, instance) not in {None, told}:
            return True
        return self._backend.hosts and plan.next_step(wish, instance) is not Step.NOTHING

    async def take(self, wish: Wish, desk: Desk) -> timedelta | None:
        """Say or do one thing; how long to wait before the next look, or `None` if there is nothing left."""
        instance = await self._backend.get(wish.workspace_id)
        if await self._tell(wish, self._news(wish, instance), desk):
            return NOW
        match plan.next_step(wish, instance) if self._backend.hosts else Step.NOTHING:
            case Step.NOTHING:
                return None
            case Step.START:
                return await self._start(wish, instance, desk)
            case Step.STOP:
                return await self._stop(wish, desk)
            case Step.FORGET:
                return await self._forget(wish)
            case step:
                assert_never(step)

    def _news(self, wish: Wish, instance: Instance | None) -> Fact | None:
        return plan.news(wish, instance) if self._backend.hosts else plan.skipped(wish)

    async def _tell(self, wish: Wish, fact: Fact | None, desk: Desk) -> bool:
        """Report what is news; whether there was any."""
        if fact is None or fact == desk.told:
            return False
        await self._registry.report(wish.workspace_id, fact)
        desk.told = fact
        if isinstance(fact, Exited):
            desk.ended = self._clock.now()
            log.info("instance ended", workspace=wish.workspace_id, generation=fact.generation, exit=fact.exit_code)
        return True

    async def _start(self, wish: Wish, instance: Instance | None, desk: Desk) -> timedelta:
        """Start what is wished, as soon as it may be. What cannot be started for good is reported as failed."""
        if instance and plan.asked_for(wish, instance):
            desk.starts.clear()
        now = self._clock.now()
        if (earliest := plan.not_before(wish, instance, desk.starts, desk.ended)) > now:
            return earliest - now
        desk.starts = [*desk.starts, now][-plan.REMEMBERED :]
        try:
            await self._start_afresh(wish)
        except (Unavailable, TimeoutError):
            raise
        except REFUSALS as refusal:
            log.warning("instance refused", workspace=wish.workspace_id, reason=refusal.reason, **refusal.details)
            return await self._give_up(wish, type(refusal), missing=getattr(refusal, "missing", ()))
        except Exception:
            log.exception("instance not started", workspace=wish.workspace_id, generation=wish.generation)
            return await self._give_up(wish, StartFailed)
        return NOW

    async def _start_afresh(self, wish: Wish) -> None:
        """The credentials before the start: an instance that runs has what it needs to say who it is.

        The secrets before the credentials: what cannot be started leaves the tokens that are there in force. They are
        read here, after the generation was wished for, so whatever was set before it was is in this instance.
        """
        spec.require_adapter(wish)
        runtime, secrets = await self._registry.runtime(wish.runtime), await self._auth.secrets(wish.workspace_id)
        variables = environment.resolved(wish, runtime, secrets, platform_url=self._platform_url)
        files = await self._registry.files(wish)
        credentials = await self._auth.credentials(wish.workspace_id, wish.generation)
        log.info("Provisioner: injected fresh auth token", workspace=wish.workspace_id, generation=wish.generation)
        wanted = spec.build(wish, credentials, environment=variables, files=files)
        started = await self._backend.start(wanted)
        log.info(
            "instance started", workspace=wish.workspace_id, generation=wish.generation, reference=started.reference
        )

    async def _give_up(self, wish: Wish, refusal: type[ServiceError], *, missing: tuple[str, ...] = ()) -> timedelta:
        """Report that it cannot be started, in the words of the public contract: never in those of a backend."""
        await self._registry.report(wish.workspace_id, Failed(wish.generation, refusal.message, missing))
        return plan.LONGEST

    async def _stop(self, wish: Wish, desk: Desk) -> timedelta:
        """Stop what runs. Whoever waits for that learns each time it failed; it is tried again all the same."""
        try:
            await self._backend.stop(wish.workspace_id)
        except Exception:
            desk.told = StopRefused(wish.generation, StopFailed.message)
            await self._registry.report(wish.workspace_id, desk.told)
            raise
        log.info("instance stopped", workspace=wish.workspace_id, generation=wish.generation)
        return NOW

    async def _forget(self, wish: Wish) -> timedelta:
        await self._backend.forget(wish.workspace_id)
        log.info("instance forgotten", workspace=wish.workspace_id)
        return NOW
