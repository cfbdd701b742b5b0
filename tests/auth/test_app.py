"""Tests auth as a running service."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update

from protos.auth.v1 import auth_pb2 as pb
from services.auth.app import service
from services.auth.audit_log import AuditLog
from services.auth.model.audit_log import AuditRecord
from services.auth.rules.hash_chain import ChainKey
from services.auth.settings import Settings
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS
from services.chassis import clients, database
from services.chassis.service import run_service
from services.chassis.settings import InvalidSettings, Mode
from tests.auth.api.test_auth import Auth, request
from tests.auth.conftest import ADMIN_TOKEN, SEALING_KEY
from tests.waiting import eventually


@pytest.fixture
def settings(database_url, tmp_path):
    return Settings(
        mode=Mode.PRODUCTION,
        listen=f"unix:{tmp_path}/auth.sock",
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        secrets_encryption_key=SEALING_KEY,
    )


@pytest.fixture
def replica(settings, engine, tmp_path):
    """Starts a replica of auth with its own socket."""

    def start(name="auth"):
        return run_service(service, settings.model_copy(update={"listen": f"unix:{tmp_path}/{name}.sock"}))

    return start


def place():
    return pb.Placement(workspace_id=str(uuid4()), org_id=str(uuid4()))


async def test_uses_are_saved_by_a_loop_and_when_auth_stops(replica, engine):
    membership = place()
    async with replica() as address, clients.open_channel(address, caller_service="gateway") as line:
        gateway, registry = Auth(line), Auth(line).as_("registry")
        await registry.ask("ConfirmWorkspaces", pb.ConfirmWorkspacesRequest(placements=[membership]))
        issued = await registry.ask("IssueToken", pb.IssueTokenRequest(workspace_id=membership.workspace_id))
        await gateway.ask("Authorize", request(pb.GATE_ANY, issued.auth_token))
        first = await eventually(lambda: used_at(engine))
        await gateway.ask("Authorize", request(pb.GATE_ANY, issued.auth_token))
    assert await used_at(engine) > first


async def test_a_revocation_in_one_replica_reaches_readers_of_another_within_a_second(replica):
    membership = place()
    async with (
        replica("one") as one,
        replica("two") as two,
        clients.open_channel(one, caller_service="gateway") as here,
        clients.open_channel(two, caller_service="registry") as there,
        aclosing(Auth(here).watch()) as watch,
    ):
        await anext(watch)
        await Auth(there).ask("BarWorkspace", pb.BarWorkspaceRequest(workspace_id=membership.workspace_id))
        async with asyncio.timeout(1):
            message = await anext(watch)
    assert message.workspace_id == membership.workspace_id


async def test_an_unconfirmed_placement_is_forgotten_by_a_loop(replica, engine):
    membership = place()
    async with replica() as address, clients.open_channel(address, caller_service="registry") as line:
        await Auth(line).ask("PlaceWorkspaces", pb.PlaceWorkspacesRequest(placements=[membership]))
    async with database.transaction(engine) as connection:
        await connection.execute(update(PLACEMENTS).values(placed_at=datetime.now(UTC) - timedelta(minutes=11)))

    async with replica():
        await eventually(lambda: nothing_placed(engine))


async def test_malformed_sealing_keys_prevent_the_start(settings):
    unreadable = settings.model_copy(update={"secrets_encryption_key": type(settings.database_url)("short")})
    with pytest.raises(InvalidSettings, match=r"^SECRETS_ENCRYPTION_KEY must be 32 bytes"):
        async with run_service(service, unreadable):
            pass


async def used_at(engine):
    async with database.transaction(engine) as connection:
        return await connection.scalar(select(WORKSPACE_TOKENS.c.last_used_at))


async def nothing_placed(engine):
    async with database.transaction(engine) as connection:
        return await connection.scalar(select(func.count()).select_from(PLACEMENTS)) == 0


@pytest.mark.covers("TOK-20")
async def test_auth_does_not_start_without_the_key_of_the_audit_log_once_it_was_set(settings, engine, store, clock):
    await AuditLog(store, clock=clock, key=ChainKey(b"one")).append_once(
        [AuditRecord(id=str(uuid4()), at=clock.now(), actor="admin", action="workspace.created")]
    )
    with pytest.raises(InvalidSettings, match="AUDIT_LEDGER_SALT is required: it links the audit log from deed 1 on"):
        async with run_service(service, settings):
            pass
    for key in ("one", "another"):
        async with run_service(service, settings.model_copy(update={"audit_ledger_salt": SecretStr(key)})):
            pass
