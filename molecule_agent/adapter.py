"""What the author of an agent writes: an `Adapter`, derived from `BaseAdapter`."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The place this agent fills, as far as an adapter needs to know it."""

    id: str
    parent_id: str | None = None
    """The workspace above; None for a root."""
    model: str | None = None
    """The model to use; None leaves the choice to the adapter."""
    root: Path = Path("/")
    """`root / "workspace"` holds the agent's files, `root / "configs"` its configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message to answer."""

    text: str
    """The text parts, joined by line breaks; empty if there are none."""
    parts: Sequence[Mapping[str, Any]]
    """All parts as A2A 1.0 JSON: each has one of `text`, `raw`, `url`, `data`."""
    context_id: str
    """The conversation: the same for all messages that belong together."""
    message_id: str
    task_id: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeCapabilities:
    """What an agent does itself, so that the plane leaves it alone."""

    provides_native_heartbeat: bool = False
    provides_native_scheduler: bool = False
    provides_native_status_mgmt: bool = False
    """The agent judges its own health: its error rate moves no status."""
    provides_native_session: bool = False
    """The agent queues for itself: the plane stores nothing for it while it is busy."""
    idempotent_delivery: bool = False
    """Being handed a message a second time does no harm: the plane may send it again after a broken connection."""

    def to_dict(self) -> dict[str, bool]:
        """The names used on the wire."""
        return {
            "heartbeat": self.provides_native_heartbeat,
            "scheduler": self.provides_native_scheduler,
            "status_mgmt": self.provides_native_status_mgmt,
            "session": self.provides_native_session,
            "idempotent_delivery": self.idempotent_delivery,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One thing the agent can do, for its card."""

    id: str
    name: str
    description: str
    tags: Sequence[str] = ()
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says beyond addresses and protocol."""

    name: str
    description: str
    skills: Sequence[Skill] = ()
    version: str = "1.0.0"


class RuntimeState(StrEnum):
    """How the agent itself judges its condition."""

    WELL = ""
    WEDGED = "wedged"
    """Nothing will be answered any more without help; the plane shows the workspace as degraded."""


class BaseAdapter(ABC):
    """Turns messages into answers. One object lives as long as the process and may answer several turns at once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @abstractmethod
    def card(self) -> CardFacts:
        """What the card says. Asked once, at start."""

    @abstractmethod
    def answer(self, turn: Turn) -> AsyncIterator[str]:
        """
        The answer, in as many pieces as come naturally; joined they are the whole text.

        Written as an asynchronous generator. An exception makes the task fail; its text goes to the agent's log
        and nowhere else. A cancelled task raises CancelledError at the innermost `await`.
        """

    def capabilities(self) -> RuntimeCapabilities:
        """
        What this agent does itself. Asked at every heartbeat.

        This package remembers message ids, so a message that is sent twice is answered once. The memory ends with
        the process: an adapter to which a repetition after a crash does harm says `RuntimeCapabilities()`.
        """
        return RuntimeCapabilities(idempotent_delivery=True)

    def idle_timeout_override(self) -> int | None:
        """Seconds of silence during an answer after which the plane may give up; None for the plane's default."""
        return None

    def runtime_state(self) -> RuntimeState:
        """Asked at every heartbeat."""
        return RuntimeState.WELL


class AdapterError(Exception):
    """ADAPTER_MODULE does not lead to an adapter; the text says why."""


def load(module: str, workspace: Workspace) -> BaseAdapter:
    """The adapter in the dotted `module`, made for `workspace`. Raises AdapterError."""
    try:
        adapter = importlib.import_module(module).Adapter(workspace)
    except Exception as error:
        raise AdapterError(f"ADAPTER_MODULE {module}: {type(error).__name__}: {error}") from error
    if not isinstance(adapter, BaseAdapter):
        raise AdapterError(f"ADAPTER_MODULE {module}: Adapter is not derived from molecule_agent.adapter.BaseAdapter")
    return adapter
