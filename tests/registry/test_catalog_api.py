"""CatalogService over gRPC."""

import pytest

from protos.registry.v1 import catalog_pb2 as pb
from protos.registry.v1 import catalog_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import PermissionDenied
from services.chassis.service import Servicer
from services.chassis.settings import InvalidSettings
from services.registry import catalog
from services.registry.api.catalog import CatalogServicer
from tests.rpc import open_channel_to


@pytest.fixture
async def line():
    servicer = Servicer(
        contract=pb.DESCRIPTOR.services_by_name["CatalogService"],
        add=rpc.add_CatalogServiceServicer_to_server,
        servicer=CatalogServicer(catalog.read_catalog()),
    )
    async with open_channel_to([servicer], caller_service="provisioner") as line:
        yield line


async def ask(line, runtime):
    return await line.call(rpc.CatalogServiceStub(line.channel).GetRuntime, pb.GetRuntimeRequest(runtime=runtime))


@pytest.mark.covers("PROV-26", "PROV-29")
async def test_the_environment_of_a_runtime_is_returned(line):
    claude, hermes = await ask(line, "claude-code"), await ask(line, "hermes")

    assert claude.speaks_anthropic
    assert "ANTHROPIC_API_KEY" in claude.required[0].any_of
    assert {provider.name for provider in claude.providers} >= {"anthropic", "minimax", "moonshot"}
    assert (list(hermes.model_variables), hermes.provider_variable) == (["HERMES_DEFAULT_MODEL"], "MODEL_PROVIDER")
    assert not hermes.speaks_anthropic


async def test_an_unknown_runtime_returns_an_empty_response(line):
    assert await ask(line, "cobol") == pb.GetRuntimeResponse()


async def test_only_the_provisioner_may_read_the_catalogue(line):
    with pytest.raises(PermissionDenied):
        await ask(ServiceChannel(line.channel, "a2a_proxy"), "echo")


def test_model_prefixes_are_lower_case():
    """The provisioner compares them with lower-case names."""
    for provider in catalog.read_catalog().providers:
        assert [prefix.lower() for prefix in provider.model_prefixes] == list(provider.model_prefixes)


DUPLICATE_PROVIDER = """
runtimes: []
providers:
  - {name: a, model_prefixes: [a], keys: [A]}
  - {name: a, model_prefixes: [b], keys: [B]}
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (DUPLICATE_PROVIDER, "provider named twice: a"),
        ("runtimes: []\nproviders: [{name: a, model_prefixes: [], keys: [A]}]", "model_prefixes"),
        ("runtimes: [{name: a, required_env: [{any_of: []}]}]", "required_env"),
    ],
)
def test_an_invalid_catalogue_is_refused(tmp_path, text, fault):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=fault):
        catalog.read_catalog(path)
