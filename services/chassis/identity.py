"""Who is calling: a value, its place in gRPC metadata, and the one that is in force."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from protos.common.v1 import identity_pb2 as pb

SERVICE_KEY = "molecule-service"
"""Metadata: the name of the service that calls."""

IDENTITY_KEY = "molecule-identity-bin"
"""Metadata: the identity on whose behalf the gateway calls."""


class Kind(StrEnum):
    """The kinds of caller."""

    SERVICE = "service"
    ADMIN = "admin"
    ORG = "org"
    WORKSPACE = "workspace"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is calling: kind, name, and the generation its token was issued to."""

    kind: Kind
    name: str = ""
    generation: int | None = None
    org_id: str = ""
    scopes: frozenset[str] = frozenset()

    @property
    def actor(self) -> str:
        """Who acts, in one word: `admin`, `anonymous`, `org-token:<id>`, `workspace:<id>`, `service:<name>`."""
        match self.kind:
            case Kind.ADMIN | Kind.ANONYMOUS:
                return self.kind.value
            case Kind.ORG:
                return f"org-token:{self.name}"
            case Kind.WORKSPACE | Kind.SERVICE:
                return f"{self.kind.value}:{self.name}"


_current: ContextVar[Identity] = ContextVar("identity")


def current() -> Identity:
    """The identity on whose behalf this code runs; only inside a call."""
    return _current.get()


@contextmanager
def act_as(identity: Identity) -> Iterator[None]:
    """Run the block on behalf of `identity`."""
    token = _current.set(identity)
    try:
        yield
    finally:
        # A feed that nobody reads any more is ended by whoever collects it, in a context that never had the identity.
        with suppress(ValueError):
            _current.reset(token)


def service_identity(name: str) -> Identity:
    """The identity of a service that speaks in its own name."""
    return Identity(kind=Kind.SERVICE, name=name)


def to_wire(identity: Identity) -> pb.Identity:
    """The identity as the contract writes it."""
    return pb.Identity(
        kind=_TO_WIRE[identity.kind],
        name=identity.name,
        generation=identity.generation,
        org_id=identity.org_id,
        scopes=sorted(identity.scopes),
    )


def from_wire(message: pb.Identity) -> Identity | None:
    """The identity that the contract's form tells; `None` if it names no kind."""
    kind = _FROM_WIRE.get(message.kind)
    if kind is None:
        return None
    return Identity(
        kind=kind,
        name=message.name,
        generation=message.generation if message.HasField("generation") else None,
        org_id=message.org_id,
        scopes=frozenset(message.scopes),
    )


_TO_WIRE = {
    Kind.SERVICE: pb.IDENTITY_KIND_SERVICE,
    Kind.ADMIN: pb.IDENTITY_KIND_ADMIN,
    Kind.ORG: pb.IDENTITY_KIND_ORG,
    Kind.WORKSPACE: pb.IDENTITY_KIND_WORKSPACE,
    Kind.ANONYMOUS: pb.IDENTITY_KIND_ANONYMOUS,
}

_FROM_WIRE = {number: kind for kind, number in _TO_WIRE.items()}
