"""A gateway on an ephemeral port, between real HTTP and real gRPC."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.server import serving
from gateway.settings import Settings
from services.chassis.service import Servicer
from services.chassis.settings import Mode
from tests.gateway import neighbours
from tests.gateway.heralds import Crier, Herald
from tests.gateway.neighbours import ADMIN, ANONYMOUS, KnowingAuth, Scripted
from tests.rpc import listening

ADMIN_BEARER = "the-operator"


@dataclass(kw_only=True)
class Standing:
    """A gateway that stands, and its neighbours."""

    auth: KnowingAuth
    registry: Scripted = field(default_factory=neighbours.registry)
    herald: Herald = field(default_factory=Herald)
    crier: Crier = field(default_factory=Crier)
    activities: Scripted = field(default_factory=neighbours.activities)
    search: Scripted = field(default_factory=neighbours.search)
    lifecycle: Scripted = field(default_factory=neighbours.lifecycle)
    audit: Scripted = field(default_factory=neighbours.audit)
    tokens: Scripted = field(default_factory=neighbours.tokens)
    vault: Scripted = field(default_factory=neighbours.vault)
    templates: Scripted = field(default_factory=neighbours.templates)
    bundles: Scripted = field(default_factory=neighbours.bundles)
    models: Scripted = field(default_factory=neighbours.models)
    budgets: Scripted = field(default_factory=neighbours.budgets)
    logs: Scripted = field(default_factory=neighbours.logs)
    settings: Settings = field(init=False)
    url: str = ""
    http: httpx.AsyncClient = field(init=False)

    @property
    def asked(self) -> neighbours.Asked:
        """The only call that the registry received."""
        return self.asked_of(self.registry)

    def asked_of(self, servicer: Scripted) -> neighbours.Asked:
        """The only call that `servicer` received."""
        [only] = servicer.asked
        return only


Stands = Callable[..., AbstractAsyncContextManager[Standing]]


@asynccontextmanager
async def standing(
    *,
    auth: KnowingAuth | None = None,
    proxy: Servicer | None = None,
    herald: Herald | None = None,
    **settings: Any,
) -> AsyncIterator[Standing]:
    """A gateway for the length of the block; open development unless the settings say otherwise."""
    known = auth or KnowingAuth(known={None: ANONYMOUS, ADMIN_BEARER: ADMIN})
    plane = Standing(auth=known, herald=herald or Herald())
    async with AsyncExitStack() as stack:

        async def at(*servicers: Servicer) -> str:
            return await stack.enter_async_context(listening(servicers))

        plane.settings = Settings(
            **{
                "mode": Mode.DEVELOPMENT,
                "port": 0,
                "auth_targets": await at(
                    plane.auth.servicer(), plane.audit.servicer(), plane.tokens.servicer(), plane.vault.servicer()
                ),
                "registry_targets": await at(
                    plane.registry.servicer(),
                    plane.herald.servicer(),
                    plane.lifecycle.servicer(),
                    plane.search.servicer(),
                    plane.templates.servicer(),
                    plane.bundles.servicer(),
                    plane.models.servicer(),
                    plane.budgets.servicer(),
                ),
                "a2a_proxy_targets": await at(
                    plane.activities.servicer(), plane.crier.servicer(), *([proxy] if proxy else [])
                ),
                "provisioner_targets": await at(plane.logs.servicer()),
                **settings,
            }
        )
        plane.url = await stack.enter_async_context(serving(plane.settings))
        plane.http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=plane.url, trust_env=False, verify=False)  # noqa: S501 - there is no TLS
        )
        yield plane


@pytest.fixture
async def plane() -> AsyncIterator[Standing]:
    async with standing() as plane:
        yield plane
