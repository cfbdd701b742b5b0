"""What the provisioner is told of the catalogue."""

import pytest

from protos.registry.v1 import catalog_pb2 as pb
from protos.registry.v1 import catalog_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import PermissionDenied
from services.chassis.service import Servicer
from services.chassis.settings import InvalidSettings
from services.registry import catalog
from services.registry.api.catalog import CatalogServicer
from tests.rpc import running


@pytest.fixture
async def line():
    servicer = Servicer(
        contract=pb.DESCRIPTOR.services_by_name["CatalogService"],
        add=rpc.add_CatalogServiceServicer_to_server,
        servicer=CatalogServicer(catalog.read()),
    )
    async with running([servicer], caller_service="provisioner") as line:
        yield line


async def ask(line, runtime):
    return await line.call(rpc.CatalogServiceStub(line.channel).GetRuntime, pb.GetRuntimeRequest(runtime=runtime))


@pytest.mark.covers("PROV-26", "PROV-29")
async def test_what_a_runtime_needs_is_told(line):
    claude, hermes = await ask(line, "claude-code"), await ask(line, "hermes")

    assert claude.speaks_anthropic
    assert "ANTHROPIC_API_KEY" in claude.required[0].any_of
    assert {provider.name for provider in claude.providers} >= {"anthropic", "minimax", "moonshot"}
    assert (list(hermes.model_variables), hermes.provider_variable) == (["HERMES_DEFAULT_MODEL"], "MODEL_PROVIDER")
    assert not hermes.speaks_anthropic


async def test_of_an_unknown_runtime_nothing_is_told(line):
    assert await ask(line, "cobol") == pb.GetRuntimeResponse()


async def test_nobody_else_is_told(line):
    with pytest.raises(PermissionDenied):
        await ask(ServiceChannel(line.channel, "a2a_proxy"), "echo")


def test_prefixes_are_written_in_lower_case():
    """They are compared with names in lower case."""
    for provider in catalog.read().providers:
        assert [prefix.lower() for prefix in provider.model_prefixes] == list(provider.model_prefixes)


TWICE = """
runtimes: []
providers:
  - {name: a, model_prefixes: [a], keys: [A]}
  - {name: a, model_prefixes: [b], keys: [B]}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWICE, "provider named twice: a"),
        ("runtimes: []\nproviders: [{name: a, model_prefixes: [], keys: [A]}]", "model_prefixes"),
        ("runtimes: [{name: a, required_env: [{any_of: []}]}]", "required_env"),
    ],
)
def test_a_catalogue_that_is_none_is_refused(tmp_path, text, said):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=said):
        catalog.read(path)
