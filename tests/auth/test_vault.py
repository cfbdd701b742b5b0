"""Secrets on a real PostgreSQL: bound to owner and name, listed without values, sealed anew while others write."""

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
from services.auth.model import EnvironmentSecrets, OrgMembership, WorkspaceId
from services.auth.sealing import Sealer
from services.auth.store.vault import VaultStore
from services.auth.tables.keys import PLACEMENTS
from services.auth.tables.vault import CHANGES, SECRETS
from services.auth.vault import Vault
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
def vault_with(engine, audit, clock):
    return lambda keys: Vault(VaultStore(engine), audit=audit, sealer=Sealer.parse(keys), clock=clock)


@pytest.fixture
def vault(vault_with):
    return vault_with(SEALING_KEY)


@pytest.fixture
async def other(keyring):
    home = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await keyring.confirm([home])
    return home.workspace_id


@pytest.fixture
def rows(engine):
    """The rows of a table."""

    async def read(table):
        async with database.transaction(engine) as connection:
            return (await connection.execute(select(table).order_by(table.c.id))).mappings().all()

    return read


@pytest.fixture
def told(rows):
    """The owner and name of each change, in order."""

    async def read():
        return [(row["workspace_id"], row["key"]) for row in await rows(CHANGES)]

    return read


@pytest.mark.covers("PROV-25")
async def test_what_is_set_is_opened_again_and_is_stored_sealed(vault, workspace, rows):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    assert await vault.open(workspace) == EnvironmentSecrets(global_secrets={}, workspace_secrets={"KEY": MARKER})
    [row] = await rows(SECRETS)
    assert MARKER not in repr(row)
    assert (row["key_version"], row["size"], len(row["key_id"])) == ("1", len(MARKER), 8)


async def test_its_own_secret_wins_over_the_global_one(vault, workspace, other):
    await vault.set(ADMIN, None, "SHARED", "of all")
    await vault.set(ADMIN, None, "BOTH", "of all")
    await vault.set(ADMIN, workspace, "BOTH", "own")

    assert await vault.open(workspace) == EnvironmentSecrets(
        global_secrets={"SHARED": "of all"}, workspace_secrets={"BOTH": "own"}
    )
    assert (await vault.tell(workspace)).values == {"SHARED": "of all", "BOTH": "own"}
    assert await vault.open(other) == EnvironmentSecrets(
        global_secrets={"SHARED": "of all", "BOTH": "of all"}, workspace_secrets={}
    )


async def test_a_list_has_its_own_by_key_then_global_ones_not_overridden(vault, workspace, clock):
    for owner, key in [(None, "Z"), (None, "A"), (None, "B"), (workspace, "Y"), (workspace, "B")]:
        await vault.set(ADMIN, owner, key, MARKER)
    clock.advance(seconds=5)
    await vault.set(ADMIN, workspace, "Y", MARKER)

    labels = await vault.labels(ADMIN, workspace)

    assert [(label.key, label.workspace_id) for label in labels] == [
        ("B", workspace),
        ("Y", workspace),
        ("A", None),
        ("Z", None),
    ]
    assert (labels[1].updated_at - labels[1].created_at).total_seconds() == 5
    assert MARKER not in repr(labels)
    assert (
        [label.key for label in await vault.labels(ADMIN, None)] == list(await vault.global_keys()) == ["A", "B", "Z"]
    )


async def test_values_are_in_no_text_about_them(vault, workspace):
    with structlog.testing.capture_logs() as logged:
        await vault.set(ADMIN, workspace, "KEY", MARKER)
        opened, told = await vault.open(workspace), await vault.tell(workspace)

    assert MARKER not in repr(opened) + repr(told) + repr(logged)


async def test_what_is_done_to_secrets_is_in_the_audit_by_name_and_not_by_value(vault, audit, home):
    workspace = home.workspace_id
    await vault.keep(workspace, {"A": MARKER})
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    await vault.set(ADMIN, None, "KEY", MARKER)
    await vault.tell(workspace)
    await vault.erase(ADMIN, workspace, "KEY")
    await vault.reseal()

    deeds = [link.deed for link in await audit.list(ADMIN, workspace_id="", after=0, at_most=50)]

    assert [(deed.action, deed.workspace_id, deed.subject) for deed in deeds] == [
        ("secrets.stored", workspace, ""),
        ("secret.set", workspace, "KEY"),
        ("secret.set", "", "KEY"),
        ("secrets.read", workspace, ""),
        ("secret.deleted", workspace, "KEY"),
        ("vault.resealed", "", ""),
    ]
    assert deeds[0].org_id == home.org_id
    assert MARKER not in repr(deeds)


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
        await vault.open(reader)
    told = await vault.tell(reader)

    assert told.values == {}
    assert told.failed == ({"owner": "workspace:KEY", "key": "workspace:OTHER", "made global": "global:KEY"}[change],)


async def test_an_inbound_secret_does_not_open_as_a_secret_of_the_same_name(keyring, vault, workspace, engine):
    await keyring.read_or_heal_inbound_secret(workspace)
    await vault.set(ADMIN, workspace, "inbound", MARKER)
    async with database.transaction(engine) as connection:
        await connection.execute(update(SECRETS).values(sealed=select(PLACEMENTS.c.inbound_secret).scalar_subquery()))

    with pytest.raises(WorkspaceSecretUnreadable):
        await vault.open(workspace)


@pytest.mark.covers("PROV-25", "ENG-08")
@pytest.mark.parametrize(
    ("owner", "refusal", "words"),
    [
        (True, WorkspaceSecretUnreadable, "failed to decrypt workspace secret"),
        (False, GlobalSecretUnreadable, "failed to decrypt global secret"),
    ],
)
async def test_an_unknown_version_is_refused_in_fixed_words_and_named_in_the_log(
    vault, workspace, engine, owner, refusal, words
):
    await vault.set(ADMIN, workspace if owner else None, "FAKE_KEY", MARKER)
    async with database.transaction(engine) as connection:
        await connection.execute(text("update auth.secrets set sealed = '99' || substr(sealed, 2)"))

    with structlog.testing.capture_logs() as logged, pytest.raises(refusal) as refused:
        await vault.open(workspace)

    assert (refused.value.message, refused.value.details) == (words, {})
    assert "99" not in str(refused.value)
    assert [(line["key"], line["key_version"]) for line in logged] == [("FAKE_KEY", "99")]


@pytest.mark.covers("PROV-25")
async def test_a_flipped_byte_of_a_stored_secret_is_found(vault, workspace, engine):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    async with database.transaction(engine) as connection:
        sealed = await connection.scalar(select(SECRETS.c.sealed))
        flipped = sealed[:-9] + ("A" if sealed[-9] != "A" else "B") + sealed[-8:]
        await connection.execute(update(SECRETS).values(sealed=flipped))

    with pytest.raises(WorkspaceSecretUnreadable):
        await vault.open(workspace)


async def test_an_erased_secret_is_gone_and_erasing_it_again_finds_none(vault, workspace):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    await vault.erase(ADMIN, workspace, "KEY")

    assert (await vault.tell(workspace)).values == {}
    with pytest.raises(SecretNotFound):
        await vault.erase(ADMIN, workspace, "KEY")


@pytest.mark.parametrize("key", ["", "\0", "a b", "ä", "x" * 5000])
async def test_what_is_no_name_is_no_secret(vault, workspace, key):
    with pytest.raises(SecretNotFound):
        await vault.erase(ADMIN, workspace, key)


async def test_a_global_secret_is_not_erased_in_the_name_of_a_workspace(vault, workspace):
    await vault.set(ADMIN, None, "KEY", MARKER)
    with pytest.raises(SecretNotFound):
        await vault.erase(ADMIN, workspace, "KEY")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("9", "v", "invalid secret key"),
        ("PATH", "v", "reserved secret key"),
        ("KEY", "v" * (MAX_VALUE_BYTES + 1), "secret value too long (max 65536 bytes)"),
    ],
)
async def test_a_secret_over_its_limits_changes_nothing(vault, workspace, rows, told, key, value, words):
    with pytest.raises(InvalidSecret) as refused:
        await vault.set(ADMIN, workspace, key, value)

    assert refused.value.message == words
    assert await rows(SECRETS) == await told() == []


async def test_one_secret_too_many_is_refused_and_changing_one_is_not(vault, workspace, other, rows):
    await vault.keep(workspace, {f"K{number}": "v" for number in range(MAX_VARIABLES)})

    with pytest.raises(InvalidSecret, match="too many secrets"):
        await vault.set(ADMIN, workspace, "ONE_MORE", "v")
    await vault.set(ADMIN, workspace, "K0", "another")
    await vault.set(ADMIN, other, "ONE", "v")

    assert len(await rows(SECRETS)) == MAX_VARIABLES + 1


async def test_of_two_who_set_the_last_one_at_once_one_is_refused(vault, workspace, rows):
    await vault.keep(workspace, {f"K{number}": "v" for number in range(MAX_VARIABLES - 1)})

    both = await asyncio.gather(
        *(vault.set(ADMIN, workspace, key, "v") for key in ("ONE", "TWO")), return_exceptions=True
    )

    assert sorted(type(outcome) for outcome in both if outcome) == [InvalidSecret]
    assert len(await rows(SECRETS)) == MAX_VARIABLES


async def test_secrets_are_for_workspaces_that_are_there(vault, keyring, workspace):
    await keyring.bar(workspace)
    for owner, refusal in [(UNKNOWN, WorkspaceUnknown), (workspace, WorkspaceBarred)]:
        asked = [
            vault.set(ADMIN, owner, "KEY", "v"),
            vault.erase(ADMIN, owner, "KEY"),
            vault.keep(owner, {"KEY": "v"}),
            vault.labels(ADMIN, owner),
            vault.tell(owner),
            vault.open(owner),
        ]
        for outcome in [await asyncio.gather(one, return_exceptions=True) for one in asked]:
            assert isinstance(outcome[0], refusal)


async def test_an_organisation_ends_at_its_border_and_global_secrets_are_the_operators(vault, home, other):
    member = org(home.org_id)
    await vault.set(member, home.workspace_id, "KEY", "v")
    assert len(await vault.labels(member, home.workspace_id)) == 1
    for owner in (other, None):
        with pytest.raises(PermissionDenied, match="org access denied"):
            await vault.set(member, owner, "KEY", "v")
        with pytest.raises(PermissionDenied):
            await vault.erase(member, owner, "KEY")
        with pytest.raises(PermissionDenied):
            await vault.labels(member, owner)


async def test_each_change_is_told_once_and_the_last_of_a_secret_only(vault, workspace, told):
    await vault.set(ADMIN, workspace, "KEY", "1")
    await vault.set(ADMIN, None, "KEY", "1")
    await vault.set(ADMIN, workspace, "OTHER", "1")
    await vault.set(ADMIN, workspace, "KEY", "2")
    await vault.erase(ADMIN, None, "KEY")

    assert await told() == [(workspace, "OTHER"), (workspace, "KEY"), (None, "KEY")]


@pytest.mark.covers("PROV-37")
async def test_a_write_that_is_rolled_back_is_told_to_nobody(vault, workspace, rows, told):
    async def write():
        async with vault._changing(ADMIN, workspace) as (tx, _):
            await vault._put(tx, workspace, "KEY", MARKER)
            await tx.tell(workspace, "KEY", now=vault._clock.now())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write()

    assert await rows(SECRETS) == await told() == []


@pytest.mark.covers("REG-02")
async def test_what_a_workspace_is_created_with_is_kept_and_told_to_nobody(vault, workspace, told):
    await vault.keep(workspace, {"A": "1", "B": MARKER})
    await vault.keep(workspace, {"A": "1", "B": MARKER})

    assert (await vault.open(workspace)).workspace_secrets == {"A": "1", "B": MARKER}
    assert await told() == []


@pytest.mark.parametrize("values", [{"A": "1", "9": "2"}, {"A": "1", "LD_PRELOAD": "2"}, {"A": ""}])
async def test_of_bad_secrets_none_is_kept(vault, workspace, rows, values):
    with pytest.raises(InvalidSecret):
        await vault.keep(workspace, values)
    assert await rows(SECRETS) == []


async def test_a_forgotten_workspace_takes_its_secrets_with_it(vault, keyring, workspace, rows):
    await vault.set(ADMIN, workspace, "KEY", MARKER)
    await vault.set(ADMIN, None, "KEY", MARKER)

    await keyring.forget(workspace)

    assert [row["workspace_id"] for row in await rows(SECRETS)] == [None]
    assert [row["workspace_id"] for row in await rows(CHANGES)] == [None]


@pytest.mark.covers("PROV-25")
async def test_after_a_key_change_both_are_readable_and_sealing_anew_needs_the_new_one_only(
    vault, vault_with, keyring, workspace, told
):
    await vault.set(ADMIN, workspace, "OLD", "1")
    await vault.set(ADMIN, None, "OLD_TOO", "2")
    await keyring.read_or_heal_inbound_secret(workspace)
    changed = vault_with(BOTH)
    await changed.set(ADMIN, workspace, "NEW", "3")
    everything = {"OLD": "1", "OLD_TOO": "2", "NEW": "3"}
    assert (await changed.tell(workspace)).values == everything
    before = await told()

    done = await changed.reseal()

    assert (done.resealed, done.remaining, done.key_version) == (3, 0, "2")
    assert (await vault_with(f"2:{NEW_KEY}").tell(workspace)).values == everything
    assert await told() == before
    assert (await changed.reseal()).resealed == 0


async def test_an_inbound_secret_stays_the_same_when_it_is_sealed_anew(vault_with, keyring, inbound, workspace):
    secret = await keyring.read_or_heal_inbound_secret(workspace)

    await vault_with(BOTH).reseal()

    changed = type(inbound)(Sealer.parse(f"2:{NEW_KEY}"))
    async with keyring._store.begin() as tx:
        assert await changed.find(tx, workspace) == secret.text


async def test_another_key_under_the_same_version_is_noticed(vault, vault_with, workspace):
    await vault.set(ADMIN, workspace, "KEY", MARKER)

    with pytest.raises(ResealRefused):
        await vault_with(f"1:{NEW_KEY}").reseal()


async def test_a_batch_with_a_secret_that_no_key_opens_is_left_as_it_is(vault, vault_with, workspace, engine, rows):
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


async def test_secrets_that_are_written_meanwhile_are_sealed_anew_and_never_lost(vault, vault_with, workspace):
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

    assert (await vault_with(f"2:{NEW_KEY}").tell(workspace)).values == {
        f"K{number}": "written" for number in range(20)
    }


async def test_a_row_that_somebody_holds_is_left_for_the_next_batch(vault, vault_with, workspace, engine):
    await vault.set(ADMIN, workspace, "HELD", "1")
    await vault.set(ADMIN, workspace, "FREE", "2")
    changed = vault_with(BOTH)
    async with database.transaction(engine) as connection:
        await connection.execute(select(SECRETS).where(SECRETS.c.key == "HELD").with_for_update())
        first = await changed.reseal()
    second = await changed.reseal()

    assert (first.resealed, first.remaining) == (1, 1)
    assert (second.resealed, second.remaining) == (1, 0)


async def test_a_secret_set_by_two_at_once_is_one_row(vault, workspace, rows, engine):
    for _ in range(50):
        await asyncio.gather(vault.set(ADMIN, None, "KEY", "1"), vault.set(ADMIN, None, "KEY", "2"))
        assert len(await rows(SECRETS)) == 1
        async with database.transaction(engine) as connection:
            await connection.execute(delete(SECRETS))
