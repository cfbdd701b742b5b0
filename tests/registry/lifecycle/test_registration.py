"""An agent registers: its address and card are checked, and it receives what it lacks."""

import asyncio
import json

import pytest
import structlog

from services.chassis.addresses import AddressRefusal, AddressRules
from services.chassis.errors import Unauthenticated
from services.registry.card_keys import read_card_keys
from services.registry.errors.workspaces import (
    InvalidBody,
    StaleToken,
    WorkspaceNotFound,
    WorkspaceRemoved,
    WrongStatus,
)
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.lifecycle.registration import RegistrationRequest
from services.registry.workspace.model import DeliveryMode, Reason, SignatureState, Status
from services.registry.workspace.registration_warnings import UNUSED_CARD, UNUSED_URL
from tests.card_signer import CardSigner
from tests.registry.conftest import ADMIN, ANONYMOUS, CARD, agent, build_parts, overwrite, send_heartbeat
from tests.registry.fake_auth import AuthWithoutCredentials, BlockingAuth, serve_auth
from tests.rpc import open_channel_to

UNKNOWN = "7b2e7c9e-0000-4000-8000-000000000000"
HERE = "http://127.0.0.1:9"


def types(events):
    return [event.type for event in events]


@pytest.mark.covers("REG-19", "REG-36")
async def test_a_register_brings_a_workspace_online_and_returns_missing_credentials(registry):
    made = await registry.create()

    first = await registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=CARD, url=HERE))
    again = await registry.registration.register(agent(made.id), made.id, RegistrationRequest(card=CARD, url=HERE))
    kept = await registry.get(made.id)

    assert (kept.status, kept.status_reason, kept.url) == (Status.ONLINE, Reason.REGISTERED, HERE)
    assert kept.provision_deadline is None
    assert first.credentials.auth_token == "token"
    assert again.credentials.auth_token is None
    assert first.credentials.inbound_secret == again.credentials.inbound_secret != None  # noqa: E711 - all three


async def test_an_agent_is_told_what_of_its_registration_the_plane_cannot_use(registry):
    made = await registry.create()
    caller = agent(made.id)
    unknown_only = b'{"supportedInterfaces": [{"url": "http://127.0.0.1:9", "protocolBinding": "MQTT"}]}'

    usable = await registry.registration.register(caller, made.id, RegistrationRequest(card=CARD, url=HERE))
    unusable = await registry.registration.register(caller, made.id, RegistrationRequest(card=unknown_only, url=HERE))
    polling = await registry.registration.register(
        caller, made.id, RegistrationRequest(card=CARD, url=HERE, delivery_mode=DeliveryMode.POLL)
    )

    assert [usable.warnings, unusable.warnings, polling.warnings] == [(), (UNUSED_CARD,), (UNUSED_URL,)]


@pytest.mark.covers("BEY-20")
async def test_a_signed_card_is_verified_and_stored_as_it_is(registry, tmp_path):
    author, made = CardSigner(), await registry.create()
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [author.publish()]}))
    registry.registration._card_keys = registry.cards._card_keys = read_card_keys(tmp_path / "keys.json")
    signed = json.dumps(author.sign({"name": "é", "x-vendor": {"n": 0.1}})).encode()
    changed = signed.replace(b"0.1", b"0.2")

    registered = await registry.registration.register(
        agent(made.id), made.id, RegistrationRequest(card=signed, url=HERE)
    )
    stored = (await registry.queries.card(ADMIN, made.id)).card
    updated = await registry.cards.update(agent(made.id), made.id, signed)

    assert (registered.card_signature, updated.signature) == (SignatureState.VERIFIED, SignatureState.VERIFIED)
    assert stored == signed
    with pytest.raises(InvalidBody):
        await registry.registration.register(agent(made.id), made.id, RegistrationRequest(card=changed, url=HERE))
    with pytest.raises(InvalidBody):
        await registry.cards.update(agent(made.id), made.id, changed)
    assert (await registry.queries.card(ADMIN, made.id)).card == signed


async def test_every_register_publishes_an_event(registry):
    workspace = await registry.online()
    await registry.register(workspace)

    [*_, last] = await registry.events(workspace.id)

    assert types(await registry.events(workspace.id)) == [
        "WORKSPACE_PROVISIONING",
        "WORKSPACE_ONLINE",
        "WORKSPACE_ONLINE",
    ]
    assert json.loads(last.payload)["agent_card"] == json.loads(CARD)
    assert (await registry.get(workspace.id)).status_event_id < last.event_id


async def test_without_a_token_only_the_first_register_succeeds(registry):
    workspace = await registry.online()
    before = await registry.events()

    with pytest.raises(Unauthenticated):
        await registry.registration.register(ANONYMOUS, workspace.id, RegistrationRequest(card=CARD, url=HERE))

    assert await registry.events() == before


async def test_a_token_issued_for_a_failed_register_is_revoked(engine, database_url, clock):
    auth = BlockingAuth()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        made = await registry.create()
        stranger = asyncio.ensure_future(
            registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=CARD, url=HERE))
        )
        await auth.asked.wait()
        await overwrite(registry, made, status=Status.PAUSED)
        auth.answer.set()

        with pytest.raises(WrongStatus):
            await stranger

    assert auth.live == {made.id: set()}


@pytest.mark.covers("REG-20")
async def test_a_register_succeeds_without_a_secret_if_auth_cannot_provide_it(engine, database_url, clock):
    auth = AuthWithoutCredentials()
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        made = await registry.create()

        admission = await registry.registration.register(
            agent(made.id, 1), made.id, RegistrationRequest(card=CARD, url=HERE)
        )

    assert admission.credentials.inbound_secret is None
    assert (await registry.get(made.id)).status is Status.ONLINE


@pytest.mark.covers("REG-09", "REG-12", "REG-14")
async def test_push_requires_an_address_and_poll_stores_none(registry):
    pushed, polled, external = (
        await registry.create(),
        await registry.create(),
        await registry.create(runtime="external"),
    )

    for url in ("", "not a url", "ftp://x", "http://169.254.169.254/"):
        with pytest.raises(InvalidBody) as refusal:
            await registry.register(pushed, url=url)
        assert refusal.value.details["reason"] == "url_validate_failed"

    now = await registry.register(polled, url=HERE, delivery_mode=DeliveryMode.POLL)
    assert (now.delivery_mode, now.url) == (DeliveryMode.POLL, "")
    assert (await registry.register(polled, url="")).delivery_mode is DeliveryMode.POLL
    assert (await registry.register(external, url="")).delivery_mode is DeliveryMode.POLL


@pytest.mark.covers("REG-15")
async def test_production_refuses_localhost_and_unknown_names(engine, database_url, auth, clock):
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())
        made = await registry.create()

        for url in ("http://127.0.0.1:1", "http://127.9.9.9", "http://localhost", "http://212851b5693d.invalid"):
            with pytest.raises(InvalidBody):
                await registry.register(made, url=url)
        own = await registry.register(made, url=f"http://ws-{made.id[:12]}:8000")

    assert own.status is Status.ONLINE


@pytest.mark.covers("HOS-09")
@pytest.mark.parametrize(
    ("plane", "url", "is_refused"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/workspaces/x/a2a", True),
        ("http://127.0.0.1:8080", "http://localhost:8080/", True),
        ("http://127.0.0.1:8080", "http://127.0.0.2:8080/", True),
        ("http://127.0.0.1:8080", "http://[::1]:8080/", True),
        ("http://127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080/", True),
        ("http://localhost:8080", "http://127.0.0.1:8080/", True),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8081/", False),
        ("https://8.8.8.8", "https://8.8.8.8/a2a", True),
        ("https://8.8.8.8", "https://[::ffff:8.8.8.8]/a2a", True),
        ("https://8.8.8.8", "https://[64:ff9b::808:808]/a2a", True),
        ("https://8.8.8.8", "https://8.8.8.8:444/a2a", False),
        ("https://8.8.8.8", "http://8.8.8.8/a2a", False),
        ("", "http://127.0.0.1:8080/", False),
    ],
)
async def test_the_address_of_the_plane_is_none_of_an_agent(plane, url, is_refused):
    checker = AddressChecker(AddressRules(development=True), plane_urls=(plane,))

    assert await checker.find_refusal(url) == (AddressRefusal.PLANE if is_refused else None)


@pytest.mark.covers("HOS-08")
@pytest.mark.parametrize("host", ["127.1", "0177.0.0.1", "2130706433", "0x7f.1", "127.0.0.1.", "a@127.0.0.1"])
async def test_a_host_in_an_unusual_form_is_refused_in_development_too(registry, host):
    made = await registry.create()

    with pytest.raises(InvalidBody) as refusal:
        await registry.register(made, url=f"http://{host}:9/")

    assert refusal.value.details["reason"] == "url_validate_failed"


async def test_the_address_of_the_backend_is_not_checked(engine, database_url, auth, clock):
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock, rules=AddressRules())
        started = await registry.started()

        assert (await registry.register(started, url=f"{started.backend_address}/")).status is Status.ONLINE


@pytest.mark.covers("REG-16", "REG-17", "REG-18")
async def test_a_refused_register_is_stored_until_one_succeeds(registry):
    made = await registry.create()

    with structlog.testing.capture_logs() as logs, pytest.raises(InvalidBody):
        await registry.register(made, url="")
    refused = await registry.get(made.id)
    accepted = await registry.register(made)

    assert refused.register_failed_at == registry.clock.now()
    assert refused.status is Status.PROVISIONING
    assert accepted.register_failed_at is None
    [told] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert told["event"] == f"Registry register: workspace={made.id} boot_register_failed status=400"
    assert told["reason"] == "url_validate_failed"


@pytest.mark.covers("REG-16")
async def test_a_refused_register_without_a_token_is_not_stored(registry):
    made = await registry.create()

    with pytest.raises(InvalidBody):
        await registry.registration.register(ANONYMOUS, made.id, RegistrationRequest(card=b"[]", url=HERE))

    assert (await registry.get(made.id)).register_failed_at is None


@pytest.mark.parametrize("status", [Status.PAUSED, Status.HIBERNATING, Status.HIBERNATED])
async def test_a_workspace_stopped_on_request_cannot_register(registry, status):
    stopped = await overwrite(registry, await registry.create(), status=status)

    with pytest.raises(WrongStatus) as refusal:
        await registry.register(stopped)

    assert refusal.value.message == f"workspace is {status}"
    assert await registry.get(stopped.id) == stopped


async def test_an_unknown_workspace_cannot_register(registry):
    gone = await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, gone.id, confirm=False, purge=False)

    with pytest.raises(WorkspaceNotFound):
        await registry.registration.register(agent(UNKNOWN), UNKNOWN, RegistrationRequest(card=CARD, url=HERE))
    with pytest.raises(WorkspaceRemoved):
        await registry.register(gone)


async def test_a_replaced_instance_cannot_register(registry):
    await registry.watched()
    workspace = await registry.online()
    await registry.restarts.restart(ADMIN, workspace.id, "")

    with pytest.raises(StaleToken):
        await registry.register(workspace)
    silent = await send_heartbeat(registry, workspace)

    assert silent.status is Status.PROVISIONING
    assert (await registry.get(workspace.id)).status is Status.PROVISIONING


@pytest.mark.covers("REG-21")
async def test_neither_register_nor_heartbeat_revives_a_removed_workspace(registry):
    for _ in range(50):
        made = await registry.create(runtime="external")
        gone = registry.removal.remove(ADMIN, made.id, confirm=False, purge=False)
        late = [registry.register(made, url="", delivery_mode=DeliveryMode.POLL), send_heartbeat(registry, made)]

        await asyncio.gather(gone, *late, return_exceptions=True)
        kept = await registry.get(made.id)
        await asyncio.gather(
            registry.register(made, url="", delivery_mode=DeliveryMode.POLL),
            send_heartbeat(registry, made),
            return_exceptions=True,
        )

        assert kept.status is Status.REMOVED
        assert await registry.get(made.id) == kept
