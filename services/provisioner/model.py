"""What the provisioner speaks of: wishes, specs, instances, and the facts it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)


class DesiredState(StrEnum):
    """What is to become of the instance of a workspace."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNTOUCHED = "untouched"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the registry wants of one workspace, and what it knows of its instance.

    Only what decides about instances is here, so that two wishes are equal when there is nothing new to do.
    `automatic` is true where the generation was raised because an instance ended, and nobody asked for a restart.
    """

    workspace_id: WorkspaceId
    generation: int
    desire: DesiredState
    runtime: str = ""
    adapter_module: str = ""
    model: str | None = None
    parent_id: str | None = None
    external: bool = False
    automatic: bool = False
    reference: str = ""
    kit: str = ""


class Sign(StrEnum):
    """What a feed says besides wishes: that everything has been told, or just that it is there."""

    WHOLE = "whole"
    ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an instance proves itself with, and what the plane proves itself with to it. Never shown."""

    token: str = field(repr=False)
    inbound_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What users want an agent to know, by name: all agents, and this one alone. Never shown."""

    of_all: Mapping[str, str] = field(default_factory=dict, repr=False)
    own: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Somebody who serves models: what they are called, which variables may hold its key, where it is found.

    `anthropic_url` is where it speaks the API of Anthropic; empty where it does not, or is Anthropic.
    """

    name: str
    prefixes: tuple[str, ...]
    keys: tuple[str, ...]
    anthropic_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the catalogue says of a runtime. Each of `required` is needed by any of its names."""

    required: tuple[tuple[str, ...], ...] = ()
    speaks_anthropic: bool = False
    model_variables: tuple[str, ...] = ()
    provider_variable: str = ""
    providers: tuple[Provider, ...] = ()


Environment = tuple[tuple[str, str], ...]
"""Value by variable."""

Files = tuple[tuple[str, str], ...]
"""Content by path, below /configs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Everything needed to start an instance.

    `environment` is the part of the instance contract that is the same in every backend; a backend adds where
    the agent listens and where its files are. `credentials` travel in files, never in the environment. `files` are
    what a first instance starts with, and what it starts with that finds another `kit` than its own there.
    """

    workspace_id: WorkspaceId
    generation: int
    environment: Environment = field(repr=False)
    credentials: Credentials
    files: Files = field(default=(), repr=False)
    kit: str = ""
    """The name of these files; empty for none."""


class Phase(StrEnum):
    """How an instance is. A booting agent already runs."""

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One embodiment of a workspace in a backend.

    `reference` is what the backend calls this very embodiment: two starts never share one.
    """

    workspace_id: WorkspaceId
    generation: int
    phase: Phase
    address: str
    reference: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """The end of what an instance wrote, and whether there was more before it. It may hold anything."""

    output: str = field(repr=False)
    truncated: bool = False


class Condition(StrEnum):
    """How an instance was found when somebody asked after it."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A backend has accepted an instance."""

    generation: int
    address: str
    reference: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An instance is wanted, and this plane starts none."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """An instance ended by itself."""

    generation: int
    reference: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing runs any more, as was wanted."""

    generation: int


@dataclass(frozen=True, slots=True)
class StopRefused:
    """An instance could not be stopped; `text` is fit for the eyes of callers."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance cannot be started; `error` is one of the fixed texts of the public contract."""

    generation: int
    error: str
    missing: tuple[str, ...] = ()


Fact = Started | Skipped | Exited | Stopped | StopRefused | Failed
