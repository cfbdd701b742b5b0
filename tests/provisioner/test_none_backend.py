"""The backend `none`."""

import asyncio

import pytest

from services.provisioner.backends.base import BackendConfig
from services.provisioner.backends.none import create_backend
from services.provisioner.errors import NoBackend
from tests.provisioner.backend_suite import build_test_spec


@pytest.fixture
def backend(tmp_path):
    return create_backend(BackendConfig(tmp_path))


@pytest.mark.covers("ENG-06", "PROV-04")
async def test_start_is_refused(backend):
    with pytest.raises(NoBackend, match="provisioning backend not available"):
        await backend.start(build_test_spec())


@pytest.mark.covers("ENG-06")
async def test_backend_has_nothing_to_stop_forget_or_list(backend):
    spec = build_test_spec()

    await backend.stop(spec.workspace_id)
    await backend.forget(spec.workspace_id)

    assert not backend.starts_instances
    assert await backend.read_logs(spec.workspace_id, 1) is None
    assert await backend.get(spec.workspace_id) is None
    assert list(await backend.list()) == []


async def test_no_exit_is_ever_yielded(backend):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(backend.watch_exits()), 0.01)
