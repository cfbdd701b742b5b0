"""The agent's client of the plane ignores the environment."""

import pytest

from molecule_agent.credentials import Credentials
from molecule_agent.plane_client import PlaneClient
from tests.molecule_agent.conftest import WORKSPACE_ID


async def register(plane, root):
    async with PlaneClient(plane.url, Credentials(root)) as client:
        await client.register(workspace_id=WORKSPACE_ID, card={}, url="http://127.0.0.1:1", delivery_mode=None)


@pytest.mark.covers("ENV-03")
async def test_the_agent_writes_no_keys_of_its_tls_connections(monkeypatch, plane, tmp_path):
    key_log = tmp_path / "key-log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(key_log))

    await register(plane, tmp_path)

    assert not key_log.exists()


@pytest.mark.covers("ENV-03")
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_agent_sends_its_token_through_no_proxy(monkeypatch, plane, tmp_path, name):
    monkeypatch.setenv(name, "http://127.0.0.1:1")

    await register(plane, tmp_path)

    assert len(plane.registered) == 1
