"""A fake auth for the provisioner: real servicers behind real gRPC that keep everything in memory."""

from protos.auth.v1 import auth_pb2, auth_pb2_grpc, vault_pb2, vault_pb2_grpc
from services.chassis.errors import FailedPrecondition, ServiceError, Unavailable
from services.chassis.service import Servicer


class FakeAuth(auth_pb2_grpc.AuthServiceServicer):
    """Issues tokens whose text contains their number and generation, and replaces the inbound secret with each."""

    def __init__(self) -> None:
        self.issued: list[tuple[str, int]] = []
        self.refuses_tokens = False
        self.unavailable_calls = 0
        self.global_secrets: dict[str, str] = {}
        self.workspace_secrets: dict[str, dict[str, str]] = {}
        self.secrets_error: ServiceError | None = None
        self.stale: list[tuple[list[str], int]] = []
        self.inbound_secret_error: ServiceError | None = None
        self.inbound_reads = 0
        self.reads = 0
        """How often the secrets of a workspace were read."""

    async def IssueToken(self, request, context):
        if self.refuses_tokens:
            message = "marker-of-an-internal-text"
            raise FailedPrecondition(message)
        if self.unavailable_calls > 0:
            self.unavailable_calls -= 1
            raise Unavailable
        self.issued.append((request.workspace_id, request.generation))
        return auth_pb2.IssueTokenResponse(auth_token=f"token-{len(self.issued)}-generation-{request.generation}")

    async def RevokeStaleTokens(self, request, context):
        if self.unavailable_calls > 0:
            self.unavailable_calls -= 1
            raise Unavailable
        self.stale.append((sorted(request.workspace_ids), request.unused_for.seconds))
        return auth_pb2.RevokeStaleTokensResponse(revoked=len(request.workspace_ids))

    async def ReadOrHealInboundSecret(self, request, context):
        self.inbound_reads += 1
        if self.inbound_secret_error is not None:
            raise self.inbound_secret_error
        return auth_pb2.ReadOrHealInboundSecretResponse(inbound_secret=f"inbound-{len(self.issued)}")


class FakeVaultService(vault_pb2_grpc.VaultServiceServicer):
    """Returns the secrets of the fake auth."""

    def __init__(self, auth: FakeAuth) -> None:
        self._auth = auth

    async def ReadEnvironment(self, request, context):
        self._auth.reads += 1
        if self._auth.secrets_error is not None:
            raise self._auth.secrets_error
        return vault_pb2.ReadEnvironmentResponse(
            global_secrets=self._auth.global_secrets,
            workspace_secrets=self._auth.workspace_secrets.get(request.workspace_id, {}),
        )


def auth_servicers(auth: FakeAuth) -> list[Servicer]:
    """Return the servicers of a fake auth."""
    return [
        Servicer(
            contract=auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
            add=auth_pb2_grpc.add_AuthServiceServicer_to_server,
            servicer=auth,
        ),
        Servicer(
            contract=vault_pb2.DESCRIPTOR.services_by_name["VaultService"],
            add=vault_pb2_grpc.add_VaultServiceServicer_to_server,
            servicer=FakeVaultService(auth),
        ),
    ]
