"""Wires auth together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from protos.auth.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
    vault_pb2,
    vault_pb2_grpc,
)
from services.auth.api.audit_log import AuditServicer
from services.auth.api.auth import AuthServicer
from services.auth.api.tokens import TokenServicer
from services.auth.api.vault import VaultServicer
from services.auth.audit_log import AuditLog
from services.auth.audit_retention import AuditRetention
from services.auth.authorization import Authorizer
from services.auth.feeds.revocations import RevocationFeed
from services.auth.feeds.secret_changes import SecretChangeFeed
from services.auth.model.authorization import AccessMode
from services.auth.placements import Placements
from services.auth.rules.hash_chain import ChainKey
from services.auth.rules.token_text import digest_token
from services.auth.settings import Settings
from services.auth.store.revocations import REVOCATIONS_CHANNEL
from services.auth.store.tables.schema import SCHEMA
from services.auth.store.transaction import Store
from services.auth.store.vault import VAULT_CHANNEL
from services.auth.tokens.credentials import CredentialService
from services.auth.tokens.last_used import LastUsedRecorder
from services.auth.tokens.org_tokens import OrgTokenService
from services.auth.tokens.sessions import SessionService
from services.auth.tokens.workspace_tokens import WorkspaceTokenService
from services.auth.vault.inbound_secrets import InboundSecrets
from services.auth.vault.sealing import Sealer
from services.auth.vault.secrets import Vault
from services.chassis import database
from services.chassis.clock import SystemClock
from services.chassis.database import AdvisoryLock
from services.chassis.errors import Unavailable
from services.chassis.service import Components, Loop, Service, Servicer
from services.chassis.settings import InvalidSettings


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Build the servicers and loops of auth, and save the last uses of tokens when it stops."""
    url, clock = settings.database_url.get_secret_value(), SystemClock()
    role = service.build_role(settings.role_prefix)
    async with database.open_engine(url, role=role, pool=settings.database_pool_size) as engine:
        store = Store(engine)
        last_used = LastUsedRecorder(store, clock)
        revocation_listener = database.NotificationListener(url, role=role, channel=REVOCATIONS_CHANNEL)
        revocation_feed = RevocationFeed(store, revocation_listener)
        secret_change_listener = database.NotificationListener(url, role=role, channel=VAULT_CHANNEL)
        secret_change_feed = SecretChangeFeed(store, secret_change_listener)
        chain_key = _build_chain_key(settings)
        audit_log = AuditLog(store, clock=clock, key=chain_key)
        await _require_chain_key(audit_log, chain_key)
        audit_retention = AuditRetention(
            store, audit_log, clock, age=settings.audit_retention, max_records=settings.max_audit_records
        )
        sealer = _build_sealer(settings)
        admin_digest = digest_token(settings.admin_token.get_secret_value()) if settings.admin_token else None
        placements = Placements(store, clock=clock)
        sessions = SessionService(
            store, audit_log=audit_log, clock=clock, admin_digest=admin_digest, lifetime=settings.session_lasts
        )
        yield Components(
            servicers=[
                Servicer(
                    contract=auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
                    add=auth_pb2_grpc.add_AuthServiceServicer_to_server,
                    servicer=AuthServicer(
                        Authorizer(
                            store,
                            last_used=last_used,
                            clock=clock,
                            mode=AccessMode.OPEN if settings.allows_anonymous else AccessMode.CLOSED,
                            admin_digest=admin_digest,
                        ),
                        placements,
                        CredentialService(
                            store, audit_log=audit_log, inbound_secrets=InboundSecrets(sealer), clock=clock
                        ),
                        revocation_feed,
                    ),
                ),
                Servicer(
                    contract=audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
                    add=audit_pb2_grpc.add_AuditServiceServicer_to_server,
                    servicer=AuditServicer(audit_log),
                ),
                Servicer(
                    contract=tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
                    add=tokens_pb2_grpc.add_TokenServiceServicer_to_server,
                    servicer=TokenServicer(
                        WorkspaceTokenService(store, audit_log=audit_log, clock=clock),
                        OrgTokenService(store, audit_log=audit_log, clock=clock),
                        sessions,
                    ),
                ),
                Servicer(
                    contract=vault_pb2.DESCRIPTOR.services_by_name["VaultService"],
                    add=vault_pb2_grpc.add_VaultServiceServicer_to_server,
                    servicer=VaultServicer(
                        Vault(store, audit_log=audit_log, sealer=sealer, clock=clock), secret_change_feed
                    ),
                ),
            ],
            # Every replica runs all loops but the last. A deletion that another replica has done changes nothing.
            loops=[
                Loop(name="revocation notifications", run=revocation_listener.listen),
                Loop(name="revocations", run=revocation_feed.poll, every=timedelta()),
                Loop(name="secret change notifications", run=secret_change_listener.listen),
                Loop(name="secret changes", run=secret_change_feed.poll, every=timedelta()),
                Loop(name="token usage", run=last_used.save, every=timedelta(seconds=1)),
                Loop(name="unconfirmed placements", run=placements.forget_unconfirmed, every=timedelta(seconds=30)),
                Loop(name="old sessions", run=sessions.delete_expired, every=timedelta(minutes=1)),
                Loop(name="old revocations", run=revocation_feed.prune, every=timedelta(hours=1)),
                Loop(
                    name="old audit records",
                    run=audit_retention.remove_surplus,
                    every=timedelta(minutes=10),
                    lock=AdvisoryLock(url, role=role, name="auth.audit_retention"),
                ),
            ],
        )
        with suppress(Unavailable):
            await last_used.save()


def _build_chain_key(settings: Settings) -> ChainKey:
    salt = settings.audit_ledger_salt
    return ChainKey(salt.get_secret_value().encode()) if salt else ChainKey()


async def _require_chain_key(audit_log: AuditLog, key: ChainKey) -> None:
    """Raise `InvalidSettings` if the chain is linked with a key and the settings contain none."""
    if key.id:
        return
    with suppress(Unavailable):  # a database that starts later is not a reason to refuse; verification reports it
        position = await audit_log.find_start_of_key()
        if position is not None:
            message = (
                f"AUDIT_LEDGER_SALT is required: it links the audit log from deed {position} on;"
                " set it again, or set another one"
            )
            raise InvalidSettings(message)


def _build_sealer(settings: Settings) -> Sealer:
    """Parse the keys of the settings, which validate that there is one; raises `InvalidSettings`."""
    keys = settings.secrets_encryption_key
    try:
        return Sealer.parse(keys.get_secret_value() if keys else "")
    except ValueError as error:
        raise InvalidSettings(str(error)) from None


service = Service(
    name="auth", settings=Settings, assemble=assemble, schema=SCHEMA, migrations=Path(__file__).parent / "migrations"
)
"""Auth, as `python -m services.auth` and the plane start it."""
