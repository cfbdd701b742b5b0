"""Decides where a message is sent, in which dialect of A2A, and whether it is converted (docs/spec/rest.md, 6.4)."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit, urlunsplit

from molecule_a2a.dialects import find_dialect
from molecule_a2a.methods import Method, find_method
from molecule_a2a.model import Dialect
from services.a2a_proxy.model import AgentInterface, Push, Route

JSONRPC = "JSONRPC"
REST = "HTTP+JSON"
GRPC = "GRPC"

BINDINGS = (JSONRPC, REST, GRPC)
"""The bindings in which agents are reached, the preferred one first."""

MAX_KNOWN_PLANS = 4096
"""Plans that are kept: the methods of an agent share few of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchPlan:
    """Where a message goes, and in which form."""

    push: Push
    version: str
    """The A2A-Version header for the agent; empty for none."""
    binding: str = JSONRPC
    """The binding in which the agent is reached."""
    agent: Dialect
    """The dialect that the agent reads."""
    caller: Dialect
    """The dialect in which the caller reads the answer."""
    is_converted: bool
    """Whether the request or its answer needs conversion; otherwise both pass byte for byte."""
    tenant: str = ""
    """What the interface of the agent is called in requests that are converted; empty for none."""
    has_own_authority: bool = False
    """Whether the address has another host or port than the agent's address, so that it receives no secret."""


def plan_dispatch(route: Route, push: Push, *, method: str, version: str) -> DispatchPlan:
    """Return the plan for a message; `version` is what its caller states.

    The name of the method says which form the request has, and the version in which form the caller reads the answer.
    An agent that serves the form of the request receives it unchanged, and so does an agent of which nothing is known.
    What A2A does not have is left to the agent if it speaks JSON-RPC; the other bindings have no form for it.
    """
    known = find_method(method)
    if known is not None:
        return _plan(route.interfaces, push, known, method, version)
    caller = (find_dialect(version) if version else None) or Dialect.LEGACY
    interface = _choose_interface([one for one in route.interfaces if _is_dialable(one)], caller)
    binding = JSONRPC if interface is None else interface.binding
    return DispatchPlan(
        push=push,
        version=_choose_version(method, version),
        binding=binding,
        agent=caller,
        caller=caller,
        is_converted=binding != JSONRPC,
    )


@lru_cache(MAX_KNOWN_PLANS)
def _plan(interfaces: tuple[AgentInterface, ...], push: Push, known: Method, method: str, version: str) -> DispatchPlan:
    caller = (find_dialect(version) if version else None) or known.dialect
    dialable = [one for one in interfaces if _is_dialable(one)]
    interface = _choose_interface(dialable, known.dialect)
    if interface is None:
        agent, address, has_own_authority = known.dialect, push, False
    else:
        agent = find_dialect(interface.version) or known.dialect
        peers = [one for one in dialable if (one.binding == GRPC) is (interface.binding == GRPC)]
        address, has_own_authority = _choose_address(peers, push, interface)
    binding = JSONRPC if interface is None else interface.binding
    is_forwarded = binding == JSONRPC and agent is known.dialect
    return DispatchPlan(
        push=address,
        version=_choose_version(method, version) if is_forwarded else agent.value,
        binding=binding,
        agent=agent,
        caller=caller,
        is_converted=not is_forwarded or caller is not known.dialect,
        tenant="" if interface is None else interface.tenant,
        has_own_authority=has_own_authority,
    )


def _is_dialable(interface: AgentInterface) -> bool:
    """Whether the plane speaks what an interface offers. gRPC it speaks in 1.0 only."""
    dialect = find_dialect(interface.version)
    if interface.binding == GRPC:
        return dialect is Dialect.CURRENT
    return interface.binding in BINDINGS and dialect is not None


def _choose_interface(dialable: list[AgentInterface], dialect: Dialect) -> AgentInterface | None:
    """Return the interface that needs the least conversion, of equal ones the first; `None` without any."""

    def measure(interface: AgentInterface) -> tuple[int, bool]:
        return BINDINGS.index(interface.binding), find_dialect(interface.version) is not dialect

    return min(dialable, key=measure, default=None)


def _choose_address(peers: list[AgentInterface], push: Push, interface: AgentInterface) -> tuple[Push, bool]:
    """Return the address of an interface, and whether it has an authority of its own.

    `peers` are the interfaces of HTTP, or those of gRPC, which usually have a port of their own.
    The address of the agent stands for the interface that names it, else for the first one. Another interface with the
    same authority as that one is at its own path there; one with another authority is at its own address, which the
    agent chose, so that it is checked.
    """
    named = (one for one in peers if one.url.rstrip("/") == push.address.rstrip("/"))
    stated = next(named, peers[0])
    if interface.url == stated.url:
        return push, False
    own, other, base = _split(interface.url), _split(stated.url), _split(push.address)
    if own is None or other is None or base is None:
        return push, False
    if own.netloc == other.netloc:
        return Push(urlunsplit((base.scheme, base.netloc, own.path, own.query, "")), push.trusted), False
    return Push(interface.url, trusted=False), True


def _split(url: str) -> SplitResult | None:
    """Return the parts of an absolute HTTP address; `None` for anything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.netloc else None


def _choose_version(method: str, stated: str) -> str:
    """Return the A2A-Version for an agent that reads the request as it is.

    The name of the method decides; if it does not, the stated version does.
    """
    if "/" in method:
        return Dialect.LEGACY.value if find_dialect(stated) is Dialect.CURRENT else stated
    if method[:1].isupper():
        return stated if find_dialect(stated) is Dialect.CURRENT and stated != "1" else Dialect.CURRENT.value
    return "1.0" if stated == "1" else stated
