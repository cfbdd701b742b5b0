"""The credentials that the plane presents to agents, out of the vault."""

import pytest

from protos.auth.v1 import vault_pb2 as pb
from protos.common.v1 import access_pb2
from services.auth.errors import WorkspaceUnknown
from services.auth.model.placements import WorkspaceId
from services.auth.model.tokens import RegistrationAuth
from services.auth.store.transaction import Store
from services.auth.vault.sealing import Sealer
from services.auth.vault.secrets import Vault
from services.chassis.identity import Identity, Kind
from tests.auth.conftest import SEALING_KEY

ADMIN = Identity(kind=Kind.ADMIN)
UNKNOWN = WorkspaceId("00000000-0000-0000-0000-000000000000")


@pytest.fixture
def vault(engine, audit_log, clock):
    return Vault(Store(engine), audit_log=audit_log, sealer=Sealer.parse(SEALING_KEY), clock=clock)


async def test_only_own_secrets_of_that_name_are_told(vault, workspace, credential_service):
    await vault.set(ADMIN, workspace, "A2A_CREDENTIAL_K", "own")
    await vault.set(ADMIN, workspace, "A2AXCREDENTIAL_K", "another name")
    await vault.set(ADMIN, workspace, "MODEL_KEY", "not for dialling")
    await vault.set(ADMIN, None, "A2A_CREDENTIAL_G", "global")

    assert await vault.read_agent_credentials(workspace) == {"A2A_CREDENTIAL_K": "own"}
    registered = await credential_service.ensure_credentials(workspace, auth=RegistrationAuth.ANONYMOUS)
    assert registered.agent_credential_keys == ("A2A_CREDENTIAL_K",)


async def test_a_credential_that_does_not_open_is_left_out(vault, engine, audit_log, clock, workspace):
    await vault.set(ADMIN, workspace, "A2A_CREDENTIAL_K", "own")
    other = Vault(Store(engine), audit_log=audit_log, sealer=Sealer.parse("2:" + "n" * 32), clock=clock)

    assert await other.read_agent_credentials(workspace) == {}


async def test_an_unknown_workspace_has_no_credentials(vault):
    with pytest.raises(WorkspaceUnknown):
        await vault.read_agent_credentials(UNKNOWN)


def test_only_the_proxy_may_read_credentials():
    method = pb.DESCRIPTOR.services_by_name["VaultService"].methods_by_name["ReadAgentCredentials"]
    assert list(method.GetOptions().Extensions[access_pb2.access].services) == ["a2a_proxy"]
