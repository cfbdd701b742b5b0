"""Opens the gRPC channels from the gateway to the services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.settings import Settings
from services.chassis.clients import ServiceChannel, open_channel

SPEAKER = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChannels:
    """The channels to the services."""

    registry: ServiceChannel
    auth: ServiceChannel
    a2a_proxy: ServiceChannel
    provisioner: ServiceChannel
    each_registry: tuple[ServiceChannel, ...]
    """One channel to each replica: a replica sends its own broadcasts only."""
    each_a2a_proxy: tuple[ServiceChannel, ...]
    """One channel to each replica: the messages to a replica share one stream."""


@asynccontextmanager
async def open_channels(settings: Settings) -> AsyncIterator[ServiceChannels]:
    """Open channels to every service within the `with` block; no service has to run yet."""
    async with AsyncExitStack() as stack:

        async def channel(service: str, targets: str) -> ServiceChannel:
            opening = open_channel(targets, caller_service=SPEAKER, service=service, tls=settings.tls)
            return await stack.enter_async_context(opening)

        yield ServiceChannels(
            registry=await channel("registry", settings.registry_targets),
            auth=await channel("auth", settings.auth_targets),
            a2a_proxy=await channel("a2a_proxy", settings.a2a_proxy_targets),
            provisioner=await channel("provisioner", settings.provisioner_targets),
            each_registry=tuple([await channel("registry", target) for target in settings.registry_targets.split(",")]),
            each_a2a_proxy=tuple(
                [await channel("a2a_proxy", target) for target in settings.a2a_proxy_targets.split(",")]
            ),
        )
