"""Models of workspaces; a change restarts the instance."""

from dataclasses import replace

import pytest

from services.registry import catalog
from services.registry.directory.model_choice import ModelChoice
from services.registry.errors.workspaces import (
    ModelNotRegistered,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.lifecycle.renewal import RenewalService
from services.registry.workspace.model import NO_BACKEND, Reason, Status
from services.registry.workspace.quotas import Quotas
from tests.registry.conftest import ADMIN, org

OTHER = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def models(registry, clock):
    known = catalog.read_catalog()
    return ModelChoice(
        registry.store, catalog=known, renewal=RenewalService(catalog=known, limits=Quotas(), clock=clock)
    )


async def put(registry, workspace, **changes):
    async with registry.store.begin() as tx:
        tx.save(replace(await tx.get(workspace.id, lock=True), **changes))


@pytest.mark.covers("REG-54", "PROV-37")
async def test_a_new_model_is_stored_and_restarts_the_instance_once(registry, models):
    workspace = await registry.online(runtime="claude-code")

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    now = await registry.get(workspace.id)
    assert (now.model, now.generation, now.status) == ("MiniMax-M3", 2, Status.PROVISIONING)
    assert now.status_reason is Reason.AUTO_RESTART
    assert await models.get(ADMIN, workspace.id) == "MiniMax-M3"
    assert (await registry.events(workspace.id))[-1].type == "WORKSPACE_PROVISIONING"


async def test_choosing_the_same_model_restarts_nothing(registry, models):
    workspace = await registry.online(runtime="claude-code")
    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    assert (await registry.get(workspace.id)).generation == 2


@pytest.mark.covers("REG-55")
async def test_clearing_the_model_is_idempotent(registry, models):
    workspace = await registry.online(runtime="claude-code", model="MiniMax-M3")

    await models.choose(ADMIN, workspace.id, None)
    await models.choose(ADMIN, workspace.id, None)

    now = await registry.get(workspace.id)
    assert (now.model, now.generation) == (None, 2)


@pytest.mark.covers("REG-54", "REG-55")
@pytest.mark.parametrize("model", ["google/gemini-2.5-pro", "x'; drop table workspaces; --", "nobody's"])
async def test_an_unregistered_model_is_refused_and_the_old_one_kept(registry, models, model):
    workspace = await registry.online(runtime="claude-code", model="MiniMax-M3")

    with pytest.raises(ModelNotRegistered) as refused:
        await models.choose(ADMIN, workspace.id, model)

    assert refused.value.details == {
        "model": model,
        "runtime": "claude-code",
        "valid_models": list(catalog.read_catalog().models("claude-code")),
    }
    now = await registry.get(workspace.id)
    assert (now.model, now.generation) == ("MiniMax-M3", 1)


@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATED, Status.HIBERNATING])
async def test_a_paused_or_hibernated_workspace_is_not_restarted(registry, models, status):
    workspace = await registry.online(runtime="claude-code")
    await put(registry, workspace, status=status)

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    now = await registry.get(workspace.id)
    assert (now.model, now.status, now.generation) == ("MiniMax-M3", status, 1)


async def test_an_agent_without_a_backend_is_not_restarted(registry, models):
    workspace = await registry.started(runtime="claude-code", backend=NO_BACKEND)

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    assert (await registry.get(workspace.id)).generation == 1


async def test_the_model_of_a_removed_or_foreign_workspace_cannot_be_chosen(registry, models):
    workspace = await registry.create(runtime="claude-code")
    with pytest.raises(OrgAccessDenied):
        await models.choose(org(OTHER, "write"), workspace.id, "MiniMax-M3")
    with pytest.raises(WorkspaceNotFound):
        await models.get(ADMIN, OTHER)
    await put(registry, workspace, status=Status.REMOVED)

    with pytest.raises(WorkspaceRemoved):
        await models.choose(ADMIN, workspace.id, "MiniMax-M3")
