import grpc
import pytest

from gateway.clients import ServiceChannels
from gateway.metrics import RequestMetrics
from gateway.readiness import ReadinessChecker
from gateway.routes.activity import ActivityRoutes
from gateway.routes.cards import CardRoutes
from gateway.routes.events import EventRoutes
from gateway.routes.openapi import OpenApiRoutes
from gateway.routes.operations import OperationsRoutes
from gateway.routes.registry import RegistryRoutes
from gateway.routes.sessions import SessionRoutes
from gateway.routes.tokens import TokenRoutes
from gateway.routes.workspaces import WorkspaceRoutes
from services.chassis.clients import ServiceChannel


@pytest.mark.covers("GW-08")
async def test_every_class_of_routes_is_built_from_its_parameters():
    async with grpc.aio.insecure_channel("unix:/nowhere") as channel:
        line = ServiceChannel(channel, "gateway")
        readiness = ReadinessChecker(_clients(line))
        built = [
            WorkspaceRoutes(line),
            RegistryRoutes(line),
            EventRoutes(line),
            ActivityRoutes(line),
            CardRoutes(line, guard=None, bearer_needed=False),
            OperationsRoutes(line, line, readiness, RequestMetrics()),
            TokenRoutes(line),
            SessionRoutes(line, forget_session=str, secure=True),
            OpenApiRoutes(dict),
        ]

    for routes in built:
        for route in routes.list_routes():
            assert route.handler.__self__ is routes


def _clients(line: ServiceChannel) -> ServiceChannels:
    return ServiceChannels(**dict.fromkeys(ServiceChannels.__dataclass_fields__, line))
