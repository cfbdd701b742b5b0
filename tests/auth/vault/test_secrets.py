"""Tests the vault on a real PostgreSQL."""

import asyncio
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import delete, insert, select, text, update

from services.auth.errors import (
    GlobalSecretUnreadable,
    InvalidSecret,
    ResealRefused,
    SecretNotFound,
    WorkspaceBarred,
    WorkspaceSecretUnreadable,
    WorkspaceUnknown,
)
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.vault import EnvironmentSecrets, SecretValues
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.vault import SECRET_CHANGES, SECRETS
from services.auth.store.transaction import Store
from services.auth.vault.sealing import Sealer
from services.auth.vault.secrets import Vault
from services.auth.wire import vault as wire
from services.chassis import database
from services.chassis.errors import PermissionDenied
from services.chassis.identity import Identity, Kind
from services.chassis.variables import MAX_VALUE_BYTES, MAX_VARIABLES
from tests.auth.conftest import SEALING_KEY

ADMIN = Identity(kind=Kind.ADMIN)
NEW_KEY = "n" * 32
BOTH = f"2:{NEW_KEY},1:{SEALING_KEY}"
MARKER = "marker-of-a-secret-value"
UNKNOWN = WorkspaceId("00000000-0000-0000-0000-000000000000")


def org(org_id):
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset({"write"}))


@pytest.fixture
def vault_with(engine, audit_log, clock):
    return lambda keys: Vault(Store(engine), audit_log=audit_log, sealer=Sealer.parse(keys), clock=clock)


@pytest.fixture
def vault(vault_with):
    return vault_with(SEALING_KEY)


@pytest.fixture
async def other(placements):
    membership = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await placements.confirm([membership])
    return membership.workspace_id


@pytest.fixture
def rows(engine):
    """Returns the rows of a table."""

    async def read(table):
        async with database.transaction(engine) as connection:
            return (await connection.execute(select(table).order_by(table.c.id))).mappings().all()

    return read


@pytest.fixture
def told(rows):
    """Returns the owner and key of each change, in order."""

    async def read():
        return [(row["workspace_id"], row["key"]) for row in await rows(SECRET_CHANGES)]

    return read


@pytest.mark.covers("PROV-25")
async def test_a_set_secret_can_be_opened_and_is_stored_sealed(vault, workspace, rows):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    assert await vault.read_environment(workspace) == EnvironmentSecrets(
        global_secrets={}, workspace_secrets={"KEY": MARKER}
    )
    [row] = await rows(SECRETS)
    assert MARKER not in repr(row)
    assert (row["key_version"], row["size"], len(row["key_id"])) == ("1", len(MARKER), 8)


@pytest.mark.covers("ENV-02")
@pytest.mark.parametrize("name", ["SSLKEYLOGFILE", "https_proxy"])
async def test_a_stored_secret_whose_name_is_reserved_now_is_listed_and_not_given_out(vault, workspace, engine, name):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    await vault.set(ADMIN, workspace, "OTHER", MARKER)
    async with database.transaction(engine) as connection:
        await connection.execute(update(SECRETS).where(SECRETS.c.key == "OTHER").values(key=name))

    assert (await vault.read_environment(workspace)).workspace_secrets == {"KEY": MARKER}
    assert await vault.read_values(workspace) == SecretValues(values={"KEY": MARKER})
    labels = [wire.metadata_to(metadata) for metadata in await vault.list_metadata(ADMIN, workspace)]
    assert {label.key: label.is_reserved for label in labels} == {"KEY": False, name: True}
    await vault.delete(ADMIN, workspace, name)
    assert [metadata.key for metadata in await vault.list_metadata(ADMIN, workspace)] == ["KEY"]


async def test_a_secret_of_the_workspace_overrides_the_global_one(vault, workspace, other):
    await vault.set(ADMIN, None, "SHARED", "of all")
    await vault.set(ADMIN, None, "BOTH", "of all")
    await vault.set(ADMIN, workspace, "BOTH", "own")

    assert await vault.read_environment(workspace) == EnvironmentSecrets(
        global_secrets={"SHARED": "of all"}, workspace_secrets={"BOTH": "own"}
    )
    assert (await vault.read_values(workspace)).values == {"SHARED": "of all", "BOTH": "own"}
    assert await vault.read_environment(other) == EnvironmentSecrets(
        global_secrets={"SHARED": "of all", "BOTH": "of all"}, workspace_secrets={}
    )


async def test_a_list_has_own_secrets_by_key_then_global_ones_that_are_not_overridden(vault, workspace, clock):
    for owner, key in [(None, "Z"), (None, "A"), (None, "B"), (workspace, "Y"), (workspace, "B")]:
        await vault.set(ADMIN, owner, key, MARKER)
    clock.advance(seconds=5)
    await vault.set(ADMIN, workspace, "Y", MARKER)

    labels = await vault.list_metadata(ADMIN, workspace)

    assert [(label.key, label.workspace_id) for label in labels] == [
        ("B", workspace),
        ("Y", workspace),
        ("A", None),
        ("Z", None),
    ]
    assert (labels[1].updated_at - labels[1].created_at).total_seconds() == 5
    assert MARKER not in repr(labels)
    assert (
        [label.key for label in await vault.list_metadata(ADMIN, None)]
        == list(await vault.list_global_keys())
        == ["A", "B", "Z"]
    )


async def test_no_repr_of_secrets_contains_a_value(vault, workspace):
    with structlog.testing.capture_logs() as logged:
        await vault.set(ADMIN, workspace, "KEY", MARKER)
        opened, told = await vault.read_environment(workspace), await vault.read_values(workspace)

    assert MARKER not in repr(opened) + repr(told) + repr(logged)


async def test_audit_records_of_secrets_contain_keys_and_no_values(vault, audit_log, membership):
    workspace = membership.workspace_id
    await vault.store_initial(workspace, {"A": MARKER})
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    await vault.set(ADMIN, None, "KEY", MARKER)
    await vault.read_values(workspace)
    await vault.delete(ADMIN, workspace, "KEY")
    await vault.reseal()

    records = [link.record for link in await audit_log.list(ADMIN, workspace_id="", after=0, limit=50)]

    assert [(record.action, record.workspace_id, record.subject) for record in records] == [
        ("secrets.stored", workspace, ""),
        ("secret.set", workspace, "KEY"),
        ("secret.set", "", "KEY"),
        ("secrets.read", workspace, ""),
        ("secret.deleted", workspace, "KEY"),
        ("vault.resealed", "", ""),
    ]
    assert records[0].org_id == membership.org_id
    assert MARKER not in repr(records)


@pytest.mark.covers("PROV-25")
@pytest.mark.parametrize("change", ["owner", "key", "made global"])
async def test_a_row_copied_to_another_workspace_or_key_does_not_open(vault, workspace, other, engine, change):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    moved = {
        "owner": {"workspace_id": other},
        "key": {"key": "OTHER"},
        "made global": {"workspace_id": None},
    }[change]
    async with database.transaction(engine) as connection:
        row = dict((await connection.execute(select(SECRETS))).mappings().one())
        del row["id"]
        await connection.execute(insert(SECRETS).values(row | moved))
    reader = workspace if change == "key" else other

    with pytest.raises((WorkspaceSecretUnreadable, GlobalSecretUnreadable)):
        await vault.read_environment(reader)
    told = await vault.read_values(reader)

    assert told.values == {}
    assert told.failed_keys == (
        {"owner": "workspace:KEY", "key": "workspace:OTHER", "made global": "global:KEY"}[change],
    )


async def test_an_inbound_secret_does_not_open_as_a_secret_of_the_same_name(
    credential_service, vault, workspace, engine
):
    await credential_service.read_or_heal_inbound_secret(workspace)
    await vault.set(ADMIN, workspace, "inbound", MARKER)
    async with database.transaction(engine) as connection:
        await connection.execute(update(SECRETS).values(sealed=select(PLACEMENTS.c.inbound_secret).scalar_subquery()))

    with pytest.raises(WorkspaceSecretUnreadable):
        await vault.read_environment(workspace)


@pytest.mark.covers("PROV-25", "ENG-08")
@pytest.mark.parametrize(
    ("owner", "refusal", "words"),
    [
        (True, WorkspaceSecretUnreadable, "failed to decrypt workspace secret"),
        (False, GlobalSecretUnreadable, "failed to decrypt global secret"),
    ],
)
async def test_an_unknown_key_version_is_refused_with_a_fixed_text_and_logged(
    vault, workspace, engine, owner, refusal, words
):
    await vault.set(ADMIN, workspace if owner else None, "FAKE_KEY", MARKER)
    async with database.transaction(engine) as connection:
        await connection.execute(text("update auth.secrets set sealed = '99' || substr(sealed, 2)"))

    with structlog.testing.capture_logs() as logged, pytest.raises(refusal) as refused:
        await vault.read_environment(workspace)

    assert (refused.value.message, refused.value.details) == (words, {})
    assert "99" not in str(refused.value)
    assert [(line["key"], line["key_version"]) for line in logged] == [("FAKE_KEY", "99")]


@pytest.mark.covers("PROV-25")
async def test_a_changed_byte_of_a_stored_secret_is_detected(vault, workspace, engine):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    async with database.transaction(engine) as connection:
        sealed = await connection.scalar(select(SECRETS.c.sealed))
        flipped = sealed[:-9] + ("A" if sealed[-9] != "A" else "B") + sealed[-8:]
        await connection.execute(update(SECRETS).values(sealed=flipped))

    with pytest.raises(WorkspaceSecretUnreadable):
        await vault.read_environment(workspace)


async def test_a_deleted_secret_cannot_be_deleted_again(vault, workspace):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    await vault.delete(ADMIN, workspace, "KEY")

    assert (await vault.read_values(workspace)).values == {}
    with pytest.raises(SecretNotFound):
        await vault.delete(ADMIN, workspace, "KEY")


@pytest.mark.parametrize("key", ["", "\0", "a b", "ä", "x" * 5000])
async def test_a_malformed_key_is_not_found(vault, workspace, key):
    with pytest.raises(SecretNotFound):
        await vault.delete(ADMIN, workspace, key)


async def test_a_workspace_cannot_delete_a_global_secret(vault, workspace):
    await vault.set(ADMIN, None, "KEY", MARKER)
    with pytest.raises(SecretNotFound):
        await vault.delete(ADMIN, workspace, "KEY")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("9", "v", "invalid secret key"),
        ("PATH", "v", "reserved secret key"),
        ("KEY", "v" * (MAX_VALUE_BYTES + 1), "secret value too long (max 65536 bytes)"),
    ],
)
async def test_a_secret_over_a_limit_is_refused_and_changes_nothing(vault, workspace, rows, told, key, value, words):
    with pytest.raises(InvalidSecret) as refused:
        await vault.set(ADMIN, workspace, key, value)

    assert refused.value.message == words
    assert await rows(SECRETS) == await told() == []


async def test_one_secret_too_many_is_refused_and_changing_one_is_allowed(vault, workspace, other, rows):
    await vault.store_initial(workspace, {f"K{number}": "v" for number in range(MAX_VARIABLES)})

    with pytest.raises(InvalidSecret, match="too many secrets"):
        await vault.set(ADMIN, workspace, "ONE_MORE", "v")
    await vault.set(ADMIN, workspace, "K0", "another")
    await vault.set(ADMIN, other, "ONE", "v")

    assert len(await rows(SECRETS)) == MAX_VARIABLES + 1


async def test_of_two_callers_that_set_the_last_allowed_secret_at_once_one_is_refused(vault, workspace, rows):
    await vault.store_initial(workspace, {f"K{number}": "v" for number in range(MAX_VARIABLES - 1)})

    both = await asyncio.gather(
        *(vault.set(ADMIN, workspace, key, "v") for key in ("ONE", "TWO")), return_exceptions=True
    )

    assert sorted(type(outcome) for outcome in both if outcome) == [InvalidSecret]
    assert len(await rows(SECRETS)) == MAX_VARIABLES


async def test_unknown_and_barred_workspaces_have_no_secrets(vault, placements, workspace):
    await placements.bar(workspace)
    for owner, refusal in [(UNKNOWN, WorkspaceUnknown), (workspace, WorkspaceBarred)]:
        asked = [
            vault.set(ADMIN, owner, "KEY", "v"),
            vault.delete(ADMIN, owner, "KEY"),
            vault.store_initial(owner, {"KEY": "v"}),
            vault.list_metadata(ADMIN, owner),
            vault.read_values(owner),
            vault.read_environment(owner),
        ]
        for outcome in [await asyncio.gather(one, return_exceptions=True) for one in asked]:
            assert isinstance(outcome[0], refusal)


async def test_an_organisation_token_reaches_no_other_organisation_and_no_global_secret(vault, membership, other):
    member = org(membership.org_id)
    await vault.set(member, membership.workspace_id, "KEY", "v")
    assert len(await vault.list_metadata(member, membership.workspace_id)) == 1
    for owner in (other, None):
        with pytest.raises(PermissionDenied, match="org access denied"):
            await vault.set(member, owner, "KEY", "v")
        with pytest.raises(PermissionDenied):
            await vault.delete(member, owner, "KEY")
        with pytest.raises(PermissionDenied):
            await vault.list_metadata(member, owner)


async def test_only_the_last_change_of_each_secret_is_published(vault, workspace, told):
    await vault.set(ADMIN, workspace, "KEY", "1")
    await vault.set(ADMIN, None, "KEY", "1")
    await vault.set(ADMIN, workspace, "OTHER", "1")
    await vault.set(ADMIN, workspace, "KEY", "2")
    await vault.delete(ADMIN, None, "KEY")

    assert await told() == [(workspace, "OTHER"), (workspace, "KEY"), (None, "KEY")]


@pytest.mark.covers("PROV-37")
async def test_a_change_that_is_rolled_back_is_not_published(vault, workspace, rows, told):
    async def write():
        async with vault._begin_change(ADMIN, workspace) as (tx, _):
            await vault._save(tx, workspace, "KEY", MARKER)
            await tx.vault.publish_change(workspace, "KEY", now=vault._clock.now())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write()

    assert await rows(SECRETS) == await told() == []


@pytest.mark.covers("REG-02")
async def test_initial_secrets_are_stored_and_not_published(vault, workspace, told):
    await vault.store_initial(workspace, {"A": "1", "B": MARKER})
    await vault.store_initial(workspace, {"A": "1", "B": MARKER})

    assert (await vault.read_environment(workspace)).workspace_secrets == {"A": "1", "B": MARKER}
    assert await told() == []


@pytest.mark.parametrize("values", [{"A": "1", "9": "2"}, {"A": "1", "LD_PRELOAD": "2"}, {"A": ""}])
async def test_invalid_initial_secrets_are_refused_and_none_is_stored(vault, workspace, rows, values):
    with pytest.raises(InvalidSecret):
        await vault.store_initial(workspace, values)
    assert await rows(SECRETS) == []


async def test_forgetting_a_workspace_deletes_its_secrets(vault, placements, workspace, rows):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    await vault.set(ADMIN, None, "KEY", MARKER)

    await placements.forget(workspace)

    assert [row["workspace_id"] for row in await rows(SECRETS)] == [None]
    assert [row["workspace_id"] for row in await rows(SECRET_CHANGES)] == [None]


@pytest.mark.covers("PROV-25")
async def test_resealed_secrets_need_the_new_key_only(vault, vault_with, credential_service, workspace, told):
    await vault.set(ADMIN, workspace, "OLD", "1")
    await vault.set(ADMIN, None, "OLD_TOO", "2")
    await credential_service.read_or_heal_inbound_secret(workspace)
    changed = vault_with(BOTH)
    await changed.set(ADMIN, workspace, "NEW", "3")
    everything = {"OLD": "1", "OLD_TOO": "2", "NEW": "3"}
    assert (await changed.read_values(workspace)).values == everything
    before = await told()

    done = await changed.reseal()

    assert (done.resealed, done.remaining, done.key_version) == (3, 0, "2")
    assert (await vault_with(f"2:{NEW_KEY}").read_values(workspace)).values == everything
    assert await told() == before
    assert (await changed.reseal()).resealed == 0


async def test_a_resealed_inbound_secret_stays_the_same(
    vault_with, credential_service, store, inbound_secrets, workspace
):
    secret = await credential_service.read_or_heal_inbound_secret(workspace)

    await vault_with(BOTH).reseal()

    changed = type(inbound_secrets)(Sealer.parse(f"2:{NEW_KEY}"))
    async with store.begin() as tx:
        assert await changed.find(tx, workspace) == secret.text


async def test_another_key_under_the_same_version_is_detected(vault, vault_with, workspace):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    with pytest.raises(ResealRefused):
        await vault_with(f"1:{NEW_KEY}").reseal()


async def test_resealing_changes_nothing_if_one_secret_cannot_be_opened(vault, vault_with, workspace, engine, rows):
    await vault.set(ADMIN, workspace, "A", "1")
    await vault.set(ADMIN, workspace, "FAKE_KEY", "2")
    async with database.transaction(engine) as connection:
        await connection.execute(
            text(
                "update auth.secrets set sealed = '99' || substr(sealed, 2), key_version = '99' where key = 'FAKE_KEY'"
            )
        )
    before = await rows(SECRETS)

    with structlog.testing.capture_logs() as logged, pytest.raises(ResealRefused) as refused:
        await vault_with(BOTH).reseal()

    assert refused.value.details == {"key_version": "99"}
    assert "FAKE_KEY" not in str(refused.value)
    assert logged[0]["name"] == "secret:FAKE_KEY"
    assert await rows(SECRETS) == before


async def test_secrets_set_while_resealing_are_resealed_and_never_lost(vault, vault_with, workspace):
    for number in range(20):
        await vault.set(ADMIN, workspace, f"K{number}", "old")
    changed = vault_with(BOTH)

    async def write(sealing_vault, value):
        for number in range(20):
            await sealing_vault.set(ADMIN, workspace, f"K{number}", value)

    async def reseal():
        while (await changed.reseal()).remaining:
            continue

    await asyncio.gather(write(changed, "written"), reseal(), reseal())

    assert (await vault_with(f"2:{NEW_KEY}").read_values(workspace)).values == {
        f"K{number}": "written" for number in range(20)
    }


async def test_resealing_skips_a_locked_row(vault, vault_with, workspace, engine):
    await vault.set(ADMIN, workspace, "HELD", "1")
    await vault.set(ADMIN, workspace, "FREE", "2")
    changed = vault_with(BOTH)
    async with database.transaction(engine) as connection:
        await connection.execute(select(SECRETS).where(SECRETS.c.key == "HELD").with_for_update())
        first = await changed.reseal()
    second = await changed.reseal()

    assert (first.resealed, first.remaining) == (1, 1)
    assert (second.resealed, second.remaining) == (1, 0)


async def test_a_secret_set_twice_at_once_is_one_row(vault, workspace, rows, engine):
    for _ in range(50):
        await asyncio.gather(vault.set(ADMIN, None, "KEY", "1"), vault.set(ADMIN, None, "KEY", "2"))
        assert len(await rows(SECRETS)) == 1
        async with database.transaction(engine) as connection:
            await connection.execute(delete(SECRETS))
