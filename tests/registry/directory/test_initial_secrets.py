"""Workspaces that are created with secrets."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import InvalidWorkspace
from services.registry.workspace.validation import Draft, checked
from tests.registry.conftest import ADMIN, bound
from tests.registry.neighbours import served
from tests.registry.vaults import ClosedVault, WillingVault, served_vault
from tests.rpc import running

MARKER = "marker-of-a-secret-value"


@pytest.fixture
def book_with(engine, database_url, auth, clock):
    @asynccontextmanager
    async def book(vault):
        async with running([served(auth), served_vault(vault)], caller_service="registry") as line:
            yield bound(engine, database_url, auth, line, clock)

    return book


@pytest.mark.covers("REG-02")
async def test_secrets_are_in_the_vault_before_there_is_a_workspace(book_with):
    vault = WillingVault()
    async with book_with(vault) as book:
        made = await book.create(secrets={"A": "1", "B": MARKER})

    assert vault.kept == {made.id: {"A": "1", "B": MARKER}}
    assert MARKER not in repr(made)


async def test_a_workspace_without_secrets_asks_the_vault_for_nothing(book_with):
    async with book_with(ClosedVault()) as book:
        assert await book.create()


@pytest.mark.covers("REG-01")
async def test_what_the_vault_cannot_keep_is_not_created_and_is_forgotten(book_with, auth):
    async with book_with(ClosedVault()) as book:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(30):
                await book.create(secrets={"A": "1"})
        assert (await book.directory.list(ADMIN, size=10, token="")).entries == []

    assert auth.forgotten == list(auth.placed)


@pytest.mark.parametrize("secrets", [{"9": "v"}, {"PATH": "v"}, {"A": ""}, {"A": "v" * 65537}, {"A": "\0"}])
async def test_bad_secrets_are_refused_before_anything_is_written(book_with, auth, secrets):
    vault = WillingVault()
    async with book_with(vault) as book:
        with pytest.raises(InvalidWorkspace, match="invalid workspace fields"):
            await book.create(secrets=secrets)

    assert vault.kept == auth.placed == {}


def test_a_draft_does_not_show_its_secrets():
    assert MARKER not in repr(checked(Draft(name="n", secrets={"A": MARKER})))
