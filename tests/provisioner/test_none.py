import asyncio

import pytest

from services.provisioner.backends.base import Site
from services.provisioner.backends.none import make
from services.provisioner.errors import NoBackend
from tests.provisioner.backend_suite import spec_of


@pytest.fixture
def backend(tmp_path):
    return make(Site(tmp_path))


@pytest.mark.covers("ENG-06")
async def test_a_plane_without_a_backend_refuses_to_start_anything(backend):
    with pytest.raises(NoBackend, match="provisioning backend not available"):
        await backend.start(spec_of())


@pytest.mark.covers("ENG-06")
async def test_a_plane_without_a_backend_has_nothing_to_stop_forget_or_list(backend):
    spec = spec_of()

    await backend.stop(spec.workspace_id)
    await backend.forget(spec.workspace_id)

    assert not backend.hosts
    assert await backend.logs(spec.workspace_id, 1) is None
    assert await backend.get(spec.workspace_id) is None
    assert list(await backend.list()) == []


async def test_a_plane_without_a_backend_never_tells_of_an_end(backend):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(backend.exits()), 0.01)
