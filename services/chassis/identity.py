"""The identity of a caller, in gRPC metadata and in a context variable."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from protos.common.v1 import identity_pb2 as pb

SERVICE_KEY = "molecule-service"
"""Metadata key: the name of the calling service."""

IDENTITY_KEY = "molecule-identity-bin"
"""Metadata key: the identity that the gateway forwards."""


class Kind(StrEnum):
    """The kinds of caller."""

    SERVICE = "service"
    ADMIN = "admin"
    ORG = "org"
    WORKSPACE = "workspace"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller: its kind, its name, the generation that its token was issued to, and the token of a workspace."""

    kind: Kind
    name: str = ""
    generation: int | None = None
    org_id: str = ""
    scopes: frozenset[str] = frozenset()
    token_id: str = ""

    @property
    def actor(self) -> str:
        """The caller as a text: `admin`, `anonymous`, `org-token:<id>`, `workspace:<id>` or `service:<name>`."""
        match self.kind:
            case Kind.ADMIN | Kind.ANONYMOUS:
                return self.kind.value
            case Kind.ORG:
                return f"org-token:{self.name}"
            case Kind.WORKSPACE | Kind.SERVICE:
                return f"{self.kind.value}:{self.name}"


_current: ContextVar[Identity] = ContextVar("identity")


def current() -> Identity:
    """Return the identity of the caller that this code runs for; only valid inside a call."""
    return _current.get()


@contextmanager
def act_as(identity: Identity) -> Iterator[None]:
    """Run the block for this caller."""
    token = _current.set(identity)
    try:
        yield
    finally:
        # The garbage collector closes an abandoned feed in another context, which never had this identity.
        with suppress(ValueError):
            _current.reset(token)


def service_identity(name: str) -> Identity:
    """Return the identity of a service that calls in its own name."""
    return Identity(kind=Kind.SERVICE, name=name)


def to_wire(identity: Identity) -> pb.Identity:
    """Return the identity as protobuf."""
    return pb.Identity(
        kind=_TO_WIRE[identity.kind],
        name=identity.name,
        generation=identity.generation,
        org_id=identity.org_id,
        scopes=sorted(identity.scopes),
        token_id=identity.token_id,
    )


def from_wire(message: pb.Identity) -> Identity | None:
    """Return the identity of a protobuf message; `None` for an unknown kind."""
    kind = _FROM_WIRE.get(message.kind)
    if kind is None:
        return None
    return Identity(
        kind=kind,
        name=message.name,
        generation=message.generation if message.HasField("generation") else None,
        org_id=message.org_id,
        scopes=frozenset(message.scopes),
        token_id=message.token_id,
    )


_TO_WIRE = {kind: pb.IdentityKind.Value(f"IDENTITY_KIND_{kind.name}") for kind in Kind}

_FROM_WIRE = {number: kind for kind, number in _TO_WIRE.items()}
