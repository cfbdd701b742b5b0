"""Workspaces that are created with secrets."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import InvalidWorkspace
from services.registry.workspace.validation import WorkspaceDraft, validate_new
from tests.registry.conftest import ADMIN, build_parts
from tests.registry.fake_auth import serve_auth
from tests.registry.fake_vault import FakeVault, UnavailableVault, serve_vault
from tests.rpc import running

MARKER = "marker-of-a-secret-value"


@pytest.fixture
def book_with(engine, database_url, auth, clock):
    @asynccontextmanager
    async def registry(vault):
        async with running([serve_auth(auth), serve_vault(vault)], speaker="registry") as line:
            yield build_parts(engine, database_url, auth, line, clock)

    return registry


@pytest.mark.covers("REG-02")
async def test_secrets_are_in_the_vault_before_there_is_a_workspace(book_with):
    vault = FakeVault()
    async with book_with(vault) as registry:
        made = await registry.create(secrets={"A": "1", "B": MARKER})

    assert vault.stored == {made.id: {"A": "1", "B": MARKER}}
    assert MARKER not in repr(made)


async def test_a_workspace_without_secrets_asks_the_vault_for_nothing(book_with):
    async with book_with(UnavailableVault()) as registry:
        assert await registry.create()


@pytest.mark.covers("REG-01")
async def test_what_the_vault_cannot_keep_is_not_created_and_is_forgotten(book_with, auth):
    async with book_with(UnavailableVault()) as registry:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(30):
                await registry.create(secrets={"A": "1"})
        assert (await registry.directory.list(ADMIN, size=10, token="")).entries == []

    assert auth.forgotten == list(auth.placed)


@pytest.mark.parametrize("secrets", [{"9": "v"}, {"PATH": "v"}, {"A": ""}, {"A": "v" * 65537}, {"A": "\0"}])
async def test_bad_secrets_are_refused_before_anything_is_written(book_with, auth, secrets):
    vault = FakeVault()
    async with book_with(vault) as registry:
        with pytest.raises(InvalidWorkspace, match="invalid workspace fields"):
            await registry.create(secrets=secrets)

    assert vault.stored == auth.placed == {}


def test_a_draft_does_not_show_its_secrets():
    assert MARKER not in repr(validate_new(WorkspaceDraft(name="n", secrets={"A": MARKER})))
