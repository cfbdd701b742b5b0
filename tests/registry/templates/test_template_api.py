"""TemplateService of a running registry, over gRPC."""

import pytest

from protos.registry.v1 import bundles_pb2, bundles_pb2_grpc, registry_pb2, registry_pb2_grpc, templates_pb2
from protos.registry.v1 import templates_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind
from services.chassis.service import run_service
from services.registry.app import service
from services.registry.settings import Settings
from tests import databases
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.registry.fake_vault import serve_vault
from tests.registry.organisation_factory import VaultWithGlobalSecrets
from tests.rpc import serve

ADMIN = Identity(kind=Kind.ADMIN)
ORG = Identity(kind=Kind.ORG, name="token", org_id="o", scopes=frozenset({"admin"}))
AGENT = Identity(kind=Kind.WORKSPACE, name="11111111-1111-4111-8111-111111111111", generation=1)

HERMES = "runtime: hermes\nruntime_config: {provision_timeout_seconds: 720}"


class RegistryClient:
    """Calls the registry as the gateway or the provisioner."""

    def __init__(self, channel):
        self._lines = {
            caller_service: clients.ServiceChannel(channel, caller_service)
            for caller_service in ("gateway", "provisioner")
        }

    async def ask(self, stub, method, request, *, by=None, caller_service="gateway"):
        line = self._lines[caller_service]
        return await line.call(getattr(stub(line.channel), method), request, on_behalf_of=by)


@pytest.fixture
async def client(database_url, tmp_path):
    (tmp_path / "configs" / "slow").mkdir(parents=True)
    (tmp_path / "configs" / "slow" / "config.yaml").write_text(HERMES)
    neighbours = [serve_auth(FakeAuth()), serve_vault(VaultWithGlobalSecrets())]
    async with databases.open_empty_database(database_url, service), serve(neighbours) as auth:
        values = Settings(
            mode="development",
            listen=f"unix:{tmp_path}/r.sock",
            database_url=database_url,
            auth_targets=auth,
            configs_dir=tmp_path / "configs",
            org_templates_dir=tmp_path / "none",
        )
        async with (
            run_service(service, values) as address,
            clients.open_channel(address, caller_service="gateway") as line,
        ):
            yield RegistryClient(line.channel)


async def create_workspace(client, **fields):
    request = registry_pb2.CreateWorkspaceRequest(name="ada", **fields)
    answer = await client.ask(registry_pb2_grpc.RegistryServiceStub, "CreateWorkspace", request, by=ADMIN)
    return answer.workspace


@pytest.mark.covers("REG-49", "REG-58", "REG-60")
async def test_a_workspace_shows_the_provision_timeout_that_a_template_of_its_runtime_declares(client):
    hermes = await create_workspace(client, template="slow")
    other = await create_workspace(client, runtime="claude-code")
    listed = await client.ask(
        registry_pb2_grpc.RegistryServiceStub, "ListWorkspaces", registry_pb2.ListWorkspacesRequest(), by=ADMIN
    )
    templates = await client.ask(
        rpc.TemplateServiceStub, "ListTemplates", templates_pb2.ListTemplatesRequest(), by=ADMIN
    )

    timeouts = {one.id: one.provision_timeout.seconds for one in listed.workspaces if one.HasField("provision_timeout")}
    assert (timeouts, other.id in timeouts) == ({hermes.id: 720}, False)
    assert [one.provision_timeout.seconds for one in templates.templates] == [720]


async def test_only_the_provisioner_reads_instance_files(client):
    made = await create_workspace(client, template="slow")
    request = templates_pb2.GetInstanceFilesRequest(workspace_id=made.id)

    found = await client.ask(rpc.TemplateServiceStub, "GetInstanceFiles", request, caller_service="provisioner")

    assert dict(found.files) == {"config.yaml": HERMES}
    for by in (None, ADMIN, AGENT):
        with pytest.raises(PermissionDenied):
            await client.ask(rpc.TemplateServiceStub, "GetInstanceFiles", request, by=by)


@pytest.mark.parametrize("by", [ORG, AGENT])
@pytest.mark.parametrize(
    ("stub", "method", "request_"),
    [
        (rpc.TemplateServiceStub, "ImportTemplate", templates_pb2.ImportTemplateRequest(name="x")),
        (rpc.TemplateServiceStub, "ImportOrg", templates_pb2.ImportOrgRequest(dir="x")),
        (bundles_pb2_grpc.BundleServiceStub, "ImportBundle", bundles_pb2.ImportBundleRequest(bundle=b"{}")),
    ],
)
async def test_only_the_operator_may_import(client, by, stub, method, request_):
    with pytest.raises(PermissionDenied):
        await client.ask(stub, method, request_, by=by)


async def test_an_agent_may_not_expand_the_team_of_another_workspace(client):
    made = await create_workspace(client, template="slow")
    request = templates_pb2.ExpandTeamRequest(workspace_id=made.id)

    with pytest.raises(PermissionDenied):
        await client.ask(rpc.TemplateServiceStub, "ExpandTeam", request, by=AGENT)
