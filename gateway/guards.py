"""Guards of routes: the gate at auth that a request has to pass, and what auth learns about the request."""

from dataclasses import dataclass
from typing import Protocol

from gateway.authorization_cache import Gate, GateCheck
from gateway.credentials import Credential, HeaderItems, parse_claimed_workspace
from protos.auth.v1 import auth_pb2
from services.chassis.identity import Identity


class IdentityProvider(Protocol):
    """Turns credentials into identities: `Authenticator`, or a fake of the tests."""

    async def identify(self, credential: Credential, check: GateCheck) -> Identity:
        """Return the identity of a caller; raises the error with which auth refuses it."""
        ...

    def is_operator(self, bearer: str | None) -> bool:
        """Whether the bearer is ADMIN_TOKEN, without asking auth."""
        ...

    def is_metrics_reader(self, bearer: str | None) -> bool:
        """Whether the bearer is METRICS_TOKEN."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The gate of a route."""

    gate: Gate
    scope: str = ""
    names_workspace: bool = True
    """Auth receives the workspace of the path or of the body."""
    uses_claimed_workspace: bool = False
    """Auth receives the workspace that the caller claims to be."""
    workspace_body_field: str = ""
    """The field of the body that holds the id of the workspace."""
    admits_operator_locally: bool = False
    """The operator passes even while auth is down."""
    admits_metrics_reader: bool = False
    """The bearer of METRICS_TOKEN passes."""
    allows_sessions: bool = True
    """Browser sessions pass like the token with which they were opened."""

    def build_check(self, headers: HeaderItems, workspace_id: str = "") -> GateCheck:
        """Return what auth is asked about a request."""
        return GateCheck(
            gate=self.gate,
            scope=self.scope,
            workspace_id=workspace_id if self.names_workspace else "",
            claimed=parse_claimed_workspace(headers) if self.uses_claimed_workspace else "",
        )


ADMIN = Guard(gate=auth_pb2.GATE_ADMIN)
PLATFORM = Guard(gate=auth_pb2.GATE_PLATFORM)
OPERATION = Guard(gate=auth_pb2.GATE_PLATFORM, admits_operator_locally=True)
METRICS = Guard(gate=auth_pb2.GATE_PLATFORM, admits_operator_locally=True, admits_metrics_reader=True)
READ = Guard(gate=auth_pb2.GATE_WORKSPACE, scope="read")
WRITE = Guard(gate=auth_pb2.GATE_WORKSPACE, scope="write")
MINT = Guard(gate=auth_pb2.GATE_WORKSPACE, scope="admin")
OWN = Guard(gate=auth_pb2.GATE_OWN)
ANY = Guard(gate=auth_pb2.GATE_ANY, names_workspace=False)
SEARCH = Guard(gate=auth_pb2.GATE_DISCOVERY, scope="read", names_workspace=False, uses_claimed_workspace=True)
DISCOVERY = Guard(gate=auth_pb2.GATE_DISCOVERY, uses_claimed_workspace=True)
WEBSOCKET = SEARCH
MESSAGE = Guard(gate=auth_pb2.GATE_A2A, scope="a2a", uses_claimed_workspace=True)
SENDER = Guard(gate=auth_pb2.GATE_DISCOVERY, scope="read", names_workspace=False)
"""What the sender of a large body has to pass where the guard of the route needs the body."""
REGISTER = Guard(gate=auth_pb2.GATE_REGISTER, workspace_body_field="id")
STATE = Guard(gate=auth_pb2.GATE_BODY)
AGENT = Guard(gate=auth_pb2.GATE_BODY, workspace_body_field="workspace_id")
