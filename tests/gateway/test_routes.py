import grpc
import pytest

from gateway.clients import Clients
from gateway.metrics import Metrics
from gateway.readiness import Readiness
from gateway.routes.activity import ActivityRoutes
from gateway.routes.cards import CardRoutes
from gateway.routes.contract import ContractRoutes
from gateway.routes.events import EventRoutes
from gateway.routes.ops import OpsRoutes
from gateway.routes.registry import RegistryRoutes
from gateway.routes.sessions import SessionRoutes
from gateway.routes.tokens import TokenRoutes
from gateway.routes.workspaces import WorkspaceRoutes
from services.chassis.clients import ServiceChannel


@pytest.mark.covers("GW-08")
async def test_every_table_is_built_from_what_it_is_given():
    async with grpc.aio.insecure_channel("unix:/nowhere") as channel:
        line = ServiceChannel(channel, "gateway")
        readiness = Readiness(_clients(line))
        built = [
            WorkspaceRoutes(line),
            RegistryRoutes(line),
            EventRoutes(line),
            ActivityRoutes(line),
            CardRoutes(line, guard=None, bearer_needed=False),
            OpsRoutes(readiness, Metrics()),
            TokenRoutes(line),
            SessionRoutes(line, secure=True),
            ContractRoutes(dict),
        ]

    for routes in built:
        for route in routes.table():
            assert route.handler.__self__ is routes


def _clients(line: ServiceChannel) -> Clients:
    return Clients(**dict.fromkeys(Clients.__dataclass_fields__, line))
