"""The wiring."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from protos.auth.v1 import audit_pb2, audit_pb2_grpc, tokens_pb2, tokens_pb2_grpc, vault_pb2, vault_pb2_grpc
from protos.auth.v1 import auth_pb2 as pb
from protos.auth.v1 import auth_pb2_grpc as rpc
from services.auth import tokens
from services.auth.api.audit import AuditServicer
from services.auth.api.keys import AuthServicer
from services.auth.api.tokens import TokenServicer
from services.auth.api.vault import VaultServicer
from services.auth.audit import AuditLog
from services.auth.chain import ChainKey
from services.auth.changes import SecretChangeFeed
from services.auth.feed import RevocationFeed
from services.auth.inbound import InboundSecrets
from services.auth.keyring import Keyring
from services.auth.minting import WorkspaceTokenService
from services.auth.model import AccessMode
from services.auth.orgs import OrgTokenService
from services.auth.sealing import Sealer
from services.auth.sessions import SessionService
from services.auth.settings import Settings
from services.auth.store import vault as vault_store
from services.auth.store.keys import CHANNEL, Store
from services.auth.store.vault import VaultStore
from services.auth.tables.schema import SCHEMA
from services.auth.usage import LastUsedRecorder
from services.auth.vault import Vault
from services.chassis import database
from services.chassis.clock import SystemClock
from services.chassis.errors import Unavailable
from services.chassis.service import Components, Loop, Service, Servicer
from services.chassis.settings import InvalidSettings

ROLE = "molecule_auth"
"""The database role of auth."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Auth, ready to serve."""
    url, clock = settings.database_url.get_secret_value(), SystemClock()
    async with database.open_engine(url, role=ROLE) as engine:
        store = Store(engine)
        usage = LastUsedRecorder(store, clock)
        bell = database.NotificationListener(url, role=ROLE, channel=CHANNEL)
        feed = RevocationFeed(store, bell)
        audit = AuditLog(store, clock=clock, key=_link_key(settings))
        sealer, secrets = _sealer(settings), VaultStore(engine)
        changes_bell = database.NotificationListener(url, role=ROLE, channel=vault_store.CHANNEL)
        changes = SecretChangeFeed(secrets, changes_bell)
        operator = tokens.digest_token(settings.admin_token.get_secret_value()) if settings.admin_token else None
        sessions = SessionService(store, audit=audit, clock=clock, operator=operator, lasts=settings.session_lasts)
        keyring = Keyring(
            store,
            audit=audit,
            inbound=InboundSecrets(sealer),
            usage=usage,
            clock=clock,
            mode=AccessMode.OPEN if settings.open else AccessMode.CLOSED,
            operator=operator,
        )
        yield Components(
            servicers=[
                Servicer(
                    contract=pb.DESCRIPTOR.services_by_name["AuthService"],
                    add=rpc.add_AuthServiceServicer_to_server,
                    servicer=AuthServicer(keyring, feed),
                ),
                Servicer(
                    contract=audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
                    add=audit_pb2_grpc.add_AuditServiceServicer_to_server,
                    servicer=AuditServicer(audit),
                ),
                Servicer(
                    contract=tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
                    add=tokens_pb2_grpc.add_TokenServiceServicer_to_server,
                    servicer=TokenServicer(
                        WorkspaceTokenService(store, audit=audit, clock=clock),
                        OrgTokenService(store, audit=audit, clock=clock),
                        sessions,
                    ),
                ),
                Servicer(
                    contract=vault_pb2.DESCRIPTOR.services_by_name["VaultService"],
                    add=vault_pb2_grpc.add_VaultServiceServicer_to_server,
                    servicer=VaultServicer(Vault(secrets, audit=audit, sealer=sealer, clock=clock), changes),
                ),
            ],
            loops=[
                Loop(name="revocations bell", run=bell.listen),
                Loop(name="revocations", run=feed.read, every=timedelta()),
                Loop(name="secret changes bell", run=changes_bell.listen),
                Loop(name="secret changes", run=changes.turn, every=timedelta()),
                Loop(name="token usage", run=usage.write, every=timedelta(seconds=1)),
                # Each replica sweeps: what one has erased, another does not find.
                Loop(name="unconfirmed placements", run=keyring.forget_unconfirmed, every=timedelta(seconds=30)),
                Loop(name="old sessions", run=sessions.erase_expired, every=timedelta(minutes=1)),
                Loop(name="old revocations", run=feed.prune, every=timedelta(hours=1)),
            ],
        )
        with suppress(Unavailable):
            await usage.write()


def _link_key(settings: Settings) -> ChainKey:
    salt = settings.audit_ledger_salt
    return ChainKey(salt.get_secret_value().encode()) if salt else ChainKey()


def _sealer(settings: Settings) -> Sealer:
    """The sealer for the keys of the settings, which say that there are some."""
    keys = settings.secrets_encryption_key
    try:
        return Sealer.parse(keys.get_secret_value() if keys else "")
    except ValueError as error:
        raise InvalidSettings(str(error)) from None


service = Service(
    name="auth", settings=Settings, assemble=assemble, schema=SCHEMA, migrations=Path(__file__).parent / "migrations"
)
"""Auth, as `python -m services.auth` and the plane start it."""
