"""Creation of workspaces, and what is undone if it fails."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from services.chassis.addresses import AddressRules
from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import (
    InvalidDeliveryMode,
    InvalidWorkspace,
    OrgAccessDenied,
    ParentNotFound,
)
from services.registry.workspace.model import DeliveryMode, DirectoryAccess, Reason, Status
from services.registry.workspace.validation import WorkspaceDraft, validate_new
from tests.registry.conftest import ADMIN, build_parts, org
from tests.registry.fake_auth import AuthWithoutPlacing, serve_auth
from tests.registry.fake_vault import FakeVault, UnavailableVault, serve_vault
from tests.rpc import open_channel_to


def payload(event):
    return json.loads(event.payload)


@pytest.mark.covers("REG-01", "REG-04", "REG-05")
async def test_a_created_workspace_has_the_requested_fields(registry):
    made = await registry.create(
        "ada",
        role="cook",
        runtime="hermes",
        model="some/model",
        tier=2,
        delivery_mode="poll",
        workspace_dir="/srv/ada",
        workspace_access="read_only",
        budget_limit=500,
        max_concurrent_tasks=3,
        hibernation_idle_minutes=7,
        x=1.5,
        y=-2.0,
    )
    kept = await registry.get(made.id)

    assert (kept.name, kept.role, kept.runtime, kept.model, kept.tier) == ("ada", "cook", "hermes", "some/model", 2)
    assert (kept.delivery_mode, kept.workspace_dir, kept.workspace_access) == (
        DeliveryMode.POLL,
        "/srv/ada",
        DirectoryAccess.READ_ONLY,
    )
    assert (kept.budget_limit, kept.max_concurrent_tasks, kept.hibernation_idle_minutes) == (500, 3, 7)
    assert (kept.x, kept.y, kept.org_id) == (1.5, -2.0, kept.id)


@pytest.mark.covers("REG-36", "PROV-47", "REG-60")
async def test_a_managed_workspace_is_provisioning_with_a_deadline(registry):
    made = await registry.create(runtime="hermes")

    assert (made.status, made.status_reason, made.generation) == (Status.PROVISIONING, Reason.CREATED, 1)
    assert (made.provision_deadline - made.created_at).total_seconds() == 1800
    assert [event.type for event in await registry.events()] == ["WORKSPACE_PROVISIONING"]


@pytest.mark.covers("REG-03", "REG-06")
async def test_an_external_workspace_awaits_its_agent_and_returns_a_token(registry):
    made = await registry.creator.create(ADMIN, "", WorkspaceDraft(name="ada", external=True))
    kept = await registry.get(made.workspace.id)

    assert made.auth_token == "token"
    assert (kept.status, kept.status_reason) == (Status.AWAITING_AGENT, Reason.EXTERNAL_CREATED)
    assert (kept.delivery_mode, kept.generation) == (DeliveryMode.POLL, 0)
    assert [event.type for event in await registry.events()] == ["WORKSPACE_PROVISIONING", "WORKSPACE_AWAITING_AGENT"]


async def test_an_external_workspace_with_a_url_is_online_at_once(registry):
    made = await registry.create(external=True, url="http://127.0.0.1:9")
    kept = await registry.get(made.id)

    assert (kept.status, kept.url, kept.delivery_mode) == (Status.ONLINE, "http://127.0.0.1:9", DeliveryMode.PUSH)
    assert "not heard from yet" in kept.status_detail
    assert payload((await registry.events())[-1])["external"] is True


async def test_an_external_url_with_a_forbidden_address_is_refused(engine, database_url, auth, clock):
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())

        with pytest.raises(InvalidWorkspace) as refusal:
            await registry.create(external=True, url="http://127.0.0.1:9")

    assert refusal.value.details["reason"] == "url_validate_failed"
    assert auth.placed == {}


@pytest.mark.covers("REG-03")
async def test_a_refused_draft_writes_nothing(registry):
    with pytest.raises(InvalidDeliveryMode):
        await registry.create(delivery_mode="carrier-pigeon")

    assert registry.auth.placed == {}
    assert await registry.events() == []


async def test_repeated_requests_create_one_workspace(registry):
    draft = WorkspaceDraft(name="ada", runtime="echo")

    once = await registry.creator.create(ADMIN, "r1", draft)
    again = await registry.creator.create(ADMIN, "r1", draft)
    other = await registry.creator.create(ADMIN, "r2", draft)

    assert once.workspace.id == again.workspace.id != other.workspace.id
    assert len(await registry.events()) == 2
    assert registry.auth.forgotten == []


@pytest.mark.covers("REG-01")
async def test_auth_forgets_a_workspace_that_was_not_committed(registry, engine):
    async with engine.begin() as connection:
        await connection.execute(
            sa.text("alter table registry.events add constraint broken check (org_id = '') not valid")
        )
    try:
        with pytest.raises(sa.exc.IntegrityError):
            await registry.create()
    finally:
        async with engine.begin() as connection:
            await connection.execute(sa.text("alter table registry.events drop constraint broken"))

    assert registry.auth.forgotten == list(registry.auth.placed)
    assert await registry.events() == []


async def test_nothing_is_created_if_auth_cannot_place_it(engine, database_url, clock):
    auth = AuthWithoutPlacing()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)

        with pytest.raises(Unavailable):
            await registry.create()

        assert await registry.events() == []


async def test_a_child_belongs_to_the_organisation_of_its_parent(registry):
    root = await registry.create("root")
    child = await registry.create("child", parent_id=root.id)
    grandchild = await registry.create("grandchild", parent_id=child.id)

    assert (child.org_id, grandchild.org_id) == (root.id, root.id)
    assert registry.auth.placed == {root.id: root.id, child.id: root.id, grandchild.id: root.id}


async def test_a_removed_or_unknown_parent_is_refused(registry):
    gone = await registry.create("gone", runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    for parent_id in (gone.id, "7b2e7c9e-0000-4000-8000-000000000000"):
        with pytest.raises(ParentNotFound):
            await registry.create(parent_id=parent_id)


async def test_an_organisation_token_creates_only_within_its_organisation(registry):
    mine, other = await registry.create("mine"), await registry.create("other")
    caller = org(mine.id, "admin")

    assert (await registry.create(caller=caller, parent_id=mine.id)).org_id == mine.id
    for parent_id in (None, other.id, "7b2e7c9e-0000-4000-8000-000000000000"):
        with pytest.raises(OrgAccessDenied):
            await registry.create(caller=caller, parent_id=parent_id)


# Secrets ───────────────────────────────────────────────────────────────────────


MARKER = "marker-of-a-secret-value"


@pytest.fixture
def book_with(engine, database_url, auth, clock):
    @asynccontextmanager
    async def registry(vault):
        async with open_channel_to([serve_auth(auth), serve_vault(vault)], caller_service="registry") as line:
            yield build_parts(engine, database_url, auth, line, clock)

    return registry


@pytest.mark.covers("REG-02")
async def test_secrets_are_stored_in_the_vault(book_with):
    vault = FakeVault()
    async with book_with(vault) as registry:
        made = await registry.create(secrets={"A": "1", "B": MARKER})

    assert vault.stored == {made.id: {"A": "1", "B": MARKER}}
    assert MARKER not in repr(made)


async def test_a_workspace_without_secrets_makes_no_call_to_the_vault(book_with):
    async with book_with(UnavailableVault()) as registry:
        assert await registry.create()


@pytest.mark.covers("REG-01")
async def test_a_create_whose_secrets_cannot_be_stored_is_undone(book_with, auth):
    async with book_with(UnavailableVault()) as registry:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(30):
                await registry.create(secrets={"A": "1"})
        assert (await registry.queries.list(ADMIN, size=10, token="")).entries == []

    assert auth.forgotten == list(auth.placed)


@pytest.mark.parametrize("secrets", [{"9": "v"}, {"PATH": "v"}, {"A": ""}, {"A": "v" * 65537}, {"A": "\0"}])
async def test_invalid_secrets_are_refused_before_anything_is_written(book_with, auth, secrets):
    vault = FakeVault()
    async with book_with(vault) as registry:
        with pytest.raises(InvalidWorkspace, match="invalid workspace fields"):
            await registry.create(secrets=secrets)

    assert vault.stored == auth.placed == {}


def test_the_repr_of_a_draft_omits_its_secrets():
    assert MARKER not in repr(validate_new(WorkspaceDraft(name="n", secrets={"A": MARKER})))
