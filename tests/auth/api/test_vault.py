"""Tests `VaultService` over gRPC."""

from contextlib import aclosing

import pytest

from protos.auth.v1 import vault_pb2 as pb
from protos.auth.v1 import vault_pb2_grpc as rpc
from services.auth.api.vault import VaultServicer
from services.auth.app import service
from services.auth.feeds.secret_changes import SecretChangeFeed
from services.auth.store.transaction import Store
from services.auth.store.vault import VAULT_CHANNEL
from services.auth.vault.sealing import Sealer
from services.auth.vault.secrets import Vault
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.chassis.identity import Identity, Kind
from services.chassis.service import Servicer
from tests.auth.conftest import SEALING_KEY, SilentListener
from tests.rpc import open_channel_to

ADMIN = Identity(kind=Kind.ADMIN)
ANYBODY = Identity(kind=Kind.ANONYMOUS)
OTHER = "11111111-1111-4111-8111-111111111111"


class Caller:
    """A client of `VaultService`."""

    def __init__(self, line, identity=None):
        self.line = line
        self.identity = identity
        self.stub = rpc.VaultServiceStub(line.channel)

    def as_service(self, name):
        return Caller(ServiceChannel(self.line.channel, name))

    def behalf(self, identity):
        return Caller(self.line, identity)

    async def ask(self, method, **fields):
        request = getattr(pb, f"{method}Request")(**fields)
        return await self.line.call(getattr(self.stub, method), request, on_behalf_of=self.identity)

    async def sets(self, workspace_id, key, value):
        await self.ask("SetSecret", workspace_id=workspace_id, key=key, value=value)


def own(workspace_id):
    return Identity(kind=Kind.WORKSPACE, name=workspace_id)


@pytest.fixture
async def gateway(engine, audit_log, clock, database_url):
    store = Store(engine)
    vault = Vault(store, audit_log=audit_log, sealer=Sealer.parse(SEALING_KEY), clock=clock)
    changes = SecretChangeFeed(store, SilentListener(database_url, role=service.build_role(), channel=VAULT_CHANNEL))
    servicer = Servicer(
        contract=pb.DESCRIPTOR.services_by_name["VaultService"],
        add=rpc.add_VaultServiceServicer_to_server,
        servicer=VaultServicer(vault, changes),
    )
    async with open_channel_to([servicer]) as line:
        yield Caller(line)


async def test_a_secret_is_set_listed_read_and_deleted(gateway, workspace):
    admin, mine = gateway.behalf(ADMIN), gateway.behalf(own(workspace))
    await admin.sets("", "SHARED", "s")
    await mine.sets(workspace, "KEY", "v")

    listed = (await mine.ask("ListSecrets", workspace_id=workspace)).secrets
    assert [(secret.key, secret.is_global) for secret in listed] == [("KEY", False), ("SHARED", True)]
    assert dict((await mine.ask("ReadSecrets", workspace_id=workspace)).values) == {"KEY": "v", "SHARED": "s"}
    read = await gateway.as_service("provisioner").ask("ReadEnvironment", workspace_id=workspace)
    assert (dict(read.global_secrets), dict(read.workspace_secrets)) == ({"SHARED": "s"}, {"KEY": "v"})

    await mine.ask("DeleteSecret", workspace_id=workspace, key="KEY")
    with pytest.raises(NotFound, match="secret not found"):
        await mine.ask("DeleteSecret", workspace_id=workspace, key="KEY")


async def test_only_the_workspace_itself_may_read_its_values(gateway, workspace):
    for caller in (ADMIN, ANYBODY, own(OTHER), Identity(kind=Kind.ORG, name="t", org_id=OTHER)):
        with pytest.raises(PermissionDenied):
            await gateway.behalf(caller).ask("ReadSecrets", workspace_id=workspace)
    for caller_service in ("gateway", "registry", "a2a_proxy"):
        with pytest.raises(PermissionDenied):
            await gateway.as_service(caller_service).ask("ReadEnvironment", workspace_id=workspace)


async def test_a_workspace_may_change_only_its_own_secrets(gateway, workspace):
    for owner in (OTHER, ""):
        with pytest.raises(PermissionDenied):
            await gateway.behalf(own(workspace)).sets(owner, "KEY", "v")


async def test_only_an_admin_may_reseal(gateway, workspace):
    assert (await gateway.behalf(ADMIN).ask("Reseal")).key_version == "1"
    for caller in (own(workspace), Identity(kind=Kind.ORG, name="t", org_id=OTHER, scopes=frozenset({"admin"}))):
        with pytest.raises(PermissionDenied):
            await gateway.behalf(caller).ask("Reseal")


@pytest.mark.covers("REG-02")
async def test_the_registry_stores_the_secrets_that_a_workspace_is_created_with(gateway, workspace):
    registry = gateway.as_service("registry")
    await registry.ask("StoreSecrets", workspace_id=workspace, secrets={"KEY": "v"})
    with pytest.raises(InvalidArgument, match="reserved secret key"):
        await registry.ask("StoreSecrets", workspace_id=workspace, secrets={"PATH": "v"})
    with pytest.raises(NotFound):
        await registry.ask("StoreSecrets", workspace_id=OTHER, secrets={"KEY": "v"})

    read = await gateway.as_service("provisioner").ask("ReadEnvironment", workspace_id=workspace)
    assert dict(read.workspace_secrets) == {"KEY": "v"}


async def test_secrets_are_listed_in_pages(gateway):
    for key in "ABCDE":
        await gateway.behalf(ADMIN).sets("", key, "v")
    registry, names, token = gateway.as_service("registry"), [], ""
    while True:
        page = await registry.ask("ListGlobalKeys", page_size=2, page_token=token)
        names.append(list(page.keys))
        token = page.next_page_token
        if not token:
            break

    assert names == [["A", "B"], ["C", "D"], ["E"]]
    assert list((await registry.ask("ListGlobalKeys")).keys) == list("ABCDE")
    with pytest.raises(InvalidArgument, match="invalid page token"):
        await registry.ask("ListGlobalKeys", page_token="nonsense")


async def test_a_malformed_id_is_refused(gateway):
    with pytest.raises(InvalidArgument, match="workspace_id"):
        await gateway.as_service("provisioner").ask("ReadEnvironment", workspace_id="../etc")


async def test_secrets_of_a_barred_workspace_cannot_be_read(gateway, placements, workspace):
    await placements.bar(workspace)
    with pytest.raises(FailedPrecondition, match="workspace removed"):
        await gateway.as_service("provisioner").ask("ReadEnvironment", workspace_id=workspace)


async def test_the_registry_receives_changes(gateway, workspace):
    await gateway.behalf(own(workspace)).sets(workspace, "KEY", "v")
    registry = gateway.as_service("registry")

    async def first(after):
        feed = registry.line.watch(registry.stub.WatchSecretChanges, pb.WatchSecretChangesRequest(after=after))
        async with aclosing(feed):
            return await anext(feed)

    told = await first(0)
    assert (told.change.workspace_id, told.change.key) == (workspace, "KEY")
    assert (await first(told.change.id)).keepalive.seconds == 8
