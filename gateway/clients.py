"""One line to each service, spoken over as the gateway."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.settings import Settings
from services.chassis.clients import ServiceChannel, open_channel

SPEAKER = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChannels:
    """The services, as the gateway reaches them."""

    registry: ServiceChannel
    auth: ServiceChannel
    a2a_proxy: ServiceChannel
    provisioner: ServiceChannel
    each_registry: tuple[ServiceChannel, ...]
    """A line to each replica of its own: what is told once is told where it arises."""
    each_a2a_proxy: tuple[ServiceChannel, ...]
    """A line to each proxy of its own: messages travel on one stream each, and a stream stays where it is."""


@asynccontextmanager
async def open_channels(settings: Settings) -> AsyncIterator[ServiceChannels]:
    """Lines to every service; nobody needs to be there yet."""
    async with AsyncExitStack() as stack:

        async def line(targets: str) -> ServiceChannel:
            return await stack.enter_async_context(open_channel(targets, speaker=SPEAKER, tls=settings.tls))

        yield ServiceChannels(
            registry=await line(settings.registry_targets),
            auth=await line(settings.auth_targets),
            a2a_proxy=await line(settings.a2a_proxy_targets),
            provisioner=await line(settings.provisioner_targets),
            each_registry=tuple([await line(target) for target in settings.registry_targets.split(",")]),
            each_a2a_proxy=tuple([await line(target) for target in settings.a2a_proxy_targets.split(",")]),
        )
