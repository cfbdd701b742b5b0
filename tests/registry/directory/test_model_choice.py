"""Which model an agent uses, and that a change starts it anew."""

from dataclasses import replace

import pytest

from services.registry import catalog
from services.registry.directory.model_choice import Models
from services.registry.errors.workspaces import (
    ModelNotRegistered,
    OrgAccessDenied,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.lifecycle.renewal import RenewalService
from services.registry.workspace.model import NO_BACKEND, Reason, Status
from tests.registry.conftest import ADMIN, org

OTHER = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def models(registry, clock):
    known = catalog.read()
    return Models(registry.store, catalog=known, renewal=RenewalService(catalog=known, clock=clock))


async def put(registry, workspace, **changes):
    async with registry.store.begin() as tx:
        tx.save(replace(await tx.get(workspace.id, lock=True), **changes))


@pytest.mark.covers("REG-54", "PROV-37")
async def test_a_choice_is_kept_and_starts_one_fresh_instance(registry, models):
    workspace = await registry.online(runtime="claude-code")

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    now = await registry.get(workspace.id)
    assert (now.model, now.generation, now.status) == ("MiniMax-M3", 2, Status.PROVISIONING)
    assert now.status_reason is Reason.AUTO_RESTART
    assert await models.get(ADMIN, workspace.id) == "MiniMax-M3"
    assert (await registry.events(workspace.id))[-1].type == "WORKSPACE_PROVISIONING"


async def test_choosing_what_was_chosen_starts_nothing(registry, models):
    workspace = await registry.online(runtime="claude-code")
    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    assert (await registry.get(workspace.id)).generation == 2


@pytest.mark.covers("REG-55")
async def test_a_choice_is_cleared_as_often_as_one_likes(registry, models):
    workspace = await registry.online(runtime="claude-code", model="MiniMax-M3")

    await models.choose(ADMIN, workspace.id, None)
    await models.choose(ADMIN, workspace.id, None)

    now = await registry.get(workspace.id)
    assert (now.model, now.generation) == (None, 2)


@pytest.mark.covers("REG-54", "REG-55")
@pytest.mark.parametrize("model", ["google/gemini-2.5-pro", "x'; drop table workspaces; --", "nobody's"])
async def test_a_model_that_does_not_fit_is_refused_and_never_reset(registry, models, model):
    workspace = await registry.online(runtime="claude-code", model="MiniMax-M3")

    with pytest.raises(ModelNotRegistered) as refused:
        await models.choose(ADMIN, workspace.id, model)

    assert refused.value.details == {
        "model": model,
        "runtime": "claude-code",
        "valid_models": list(catalog.read().models("claude-code")),
    }
    now = await registry.get(workspace.id)
    assert (now.model, now.generation) == ("MiniMax-M3", 1)


@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATED, Status.HIBERNATING])
async def test_who_was_stopped_on_purpose_stays_so(registry, models, status):
    workspace = await registry.online(runtime="claude-code")
    await put(registry, workspace, status=status)

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    now = await registry.get(workspace.id)
    assert (now.model, now.status, now.generation) == ("MiniMax-M3", status, 1)


async def test_agents_that_bring_themselves_are_not_restarted(registry, models):
    workspace = await registry.started(runtime="claude-code", backend=NO_BACKEND)

    await models.choose(ADMIN, workspace.id, "MiniMax-M3")

    assert (await registry.get(workspace.id)).generation == 1


async def test_nobody_chooses_for_a_removed_or_foreign_workspace(registry, models):
    workspace = await registry.create(runtime="claude-code")
    with pytest.raises(OrgAccessDenied):
        await models.choose(org(OTHER, "write"), workspace.id, "MiniMax-M3")
    with pytest.raises(WorkspaceNotFound):
        await models.get(ADMIN, OTHER)
    await put(registry, workspace, status=Status.REMOVED)

    with pytest.raises(WorkspaceRemoved):
        await models.choose(ADMIN, workspace.id, "MiniMax-M3")
