"""The types of the provisioner: desired state, specs, instances, and the facts that it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)


DEFAULT_TIER = 3
"""The tier of a workspace whose creator gave none."""


class DesiredState(StrEnum):
    """The state that the registry wants the instance of a workspace to have."""

    RUNNING = "running"
    STOPPED = "stopped"
    UNTOUCHED = "untouched"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredInstance:
    """The desired state of one workspace, and the instance that the registry knows.

    It holds only what affects instances, so two equal values mean that there is nothing new to do.
    """

    workspace_id: WorkspaceId
    generation: int
    state: DesiredState
    runtime: str = ""
    adapter_module: str = ""
    command: tuple[str, ...] = ()
    """The command of its agent; empty for that of the backend."""
    image: str = ""
    """The image of its instances, for backends that run images; empty for that of the backend."""
    model: str | None = None
    parent_id: str | None = None
    tier: int = DEFAULT_TIER
    """The isolation and the limits of the instance, 1 to 4."""
    org_id: str = field(default="", compare=False)
    """The root of its tree; starts are fair between these."""
    external: bool = False
    is_automatic_restart: bool = False
    """Whether the generation was raised because an instance ended, and not because a caller requested a restart."""
    has_failed_start: bool = False
    """Whether the workspace is failed because its instance could not be started."""
    reference: str = ""
    """The reference of the instance that was last reported as started; empty for none."""
    files_digest: str = ""
    """The digest of the workspace's starter files; empty for none."""
    is_provisioning: bool = field(default=False, compare=False)
    """Whether the workspace has the status provisioning: its agent has not registered since the last start."""
    plugins: tuple[str, ...] = field(default=(), compare=False)
    """The plugins that its template declares, as sources or as names of local ones."""
    is_requested_start: bool = field(default=False, compare=False)
    """Whether a caller waits for this start: of a restart, of a paused workspace, or of one that a message woke."""


class FeedSignal(StrEnum):
    """A message of the registry's feed that carries no workspace."""

    SNAPSHOT_DONE = "snapshot_done"
    KEEPALIVE = "keepalive"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token of an instance, and the secret with which the plane authenticates to it. Hidden in `repr`."""

    token: str = field(repr=False)
    inbound_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets that an agent receives, by name. Hidden in `repr`."""

    global_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    workspace_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A model provider: the prefixes of its models' names, the variables that may hold its key, and its address.

    `anthropic_url` is the address of its Anthropic-compatible API; empty if it has none, and for Anthropic itself.
    """

    name: str
    prefixes: tuple[str, ...]
    keys: tuple[str, ...]
    anthropic_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A runtime of the registry's catalogue. Each entry of `required` lists alternatives: one of them must be set."""

    required: tuple[tuple[str, ...], ...] = ()
    speaks_anthropic: bool = False
    model_variables: tuple[str, ...] = ()
    provider_variable: str = ""
    providers: tuple[Provider, ...] = ()


Environment = tuple[tuple[str, str], ...]
"""Pairs of variable and value."""

Files = tuple[tuple[str, str], ...]
"""Pairs of path, relative to /configs, and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Everything needed to start an instance.

    `environment` is the same in every backend; a backend adds the agent's listen address and its directories.
    `credentials` are passed in files, never in the environment.
    """

    workspace_id: WorkspaceId
    generation: int
    environment: Environment = field(repr=False)
    credentials: Credentials
    command: tuple[str, ...] = ()
    """The command of the agent; empty for that of the backend."""
    files: Files = field(default=(), repr=False)
    files_digest: str = ""
    """The digest of `files`; empty for none."""
    tier: int = DEFAULT_TIER
    """The isolation and the limits of the instance, 1 to 4; a backend without them ignores it."""
    image: str = ""
    """The image to run, for backends that use images; empty for their default."""


class Phase(StrEnum):
    """Whether an instance runs. An agent that is still booting counts as running."""

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One run of a workspace's agent in a backend.

    `reference` is the backend's name of this run: two starts never have the same one.
    """

    workspace_id: WorkspaceId
    generation: int
    phase: Phase
    address: str
    reference: str
    exit_code: int | None = None


class FileRoot(StrEnum):
    """The directories of a workspace whose files callers may read and write."""

    CONFIGS = "/configs"
    WORKSPACE = "/workspace"
    HOME = "/home"
    PLUGINS = "/plugins"


FilePath = tuple[str, ...]
"""The names from a root to a file; empty for the root itself. No name is empty, `.` or `..`, or has a slash."""


FileContent = str | bytes
"""What is written to a file; a text is written as UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file or a directory below a root. `size` is in bytes, 0 for a directory."""

    path: str
    size: int
    is_directory: bool


@dataclass(frozen=True, slots=True)
class LogTail:
    """The end of an instance's output; `truncated` if there is more output before it."""

    output: str = field(repr=False)
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginChange:
    """A plugin that was installed or removed. `source` and `sha256` are empty for a removed one."""

    plugin: str
    is_installed: bool
    source: str = ""
    sha256: str = ""


class Condition(StrEnum):
    """The result of checking an instance."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStarted:
    """A backend accepted an instance."""

    generation: int
    address: str
    reference: str


@dataclass(frozen=True, slots=True)
class InstanceSkipped:
    """The desired state is RUNNING, and this plane starts no instances."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExited:
    """An instance ended by itself."""

    generation: int
    reference: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """No instance runs, as desired."""

    generation: int


@dataclass(frozen=True, slots=True)
class InstanceStopFailed:
    """An instance could not be stopped; `text` may be shown to callers."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class ProvisioningFailed:
    """An instance cannot be started; `error` is one of the fixed texts of the public contract."""

    generation: int
    error: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvisioningPossible:
    """A start that failed may succeed now."""

    generation: int


class StartState(StrEnum):
    """How the latest start of a workspace stands, as the registry sees it."""

    UNDER_WAY = "under_way"
    FAILED = "failed"
    OVER = "over"
    """The agent has registered, or the workspace is not to run any more."""


class ProvisioningStep(StrEnum):
    """What the provisioner does for a workspace that is to be started."""

    QUEUED = "queued"
    RESOLVING = "resolving"
    PULLING = "pulling"
    STARTING = "starting"
    WAITING_FOR_REGISTER = "waiting_for_register"
    WAITING_TO_RETRY = "waiting_to_retry"
    FAILED = "failed"


class BackendEventKind(StrEnum):
    """Something that a backend did, or that happened to an instance."""

    START_BEGUN = "start_begun"
    IMAGE_PULL_BEGUN = "image_pull_begun"
    IMAGE_PULLED = "image_pulled"
    INSTANCE_STARTED = "instance_started"
    INSTANCE_EXITED = "instance_exited"
    START_REFUSED = "start_refused"
    START_TIMED_OUT = "start_timed_out"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True)
class BackendEvent:
    """An event of a backend. `exit_code` is the negative number of a signal that ended the instance."""

    at: datetime
    kind: BackendEventKind
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningReport:
    """Where the start of a workspace stands, for people. No decision depends on it."""

    workspace_id: WorkspaceId
    generation: int
    step: ProvisioningStep
    reason: str = ""
    """A code for what the step waits for; empty where the step itself says it."""
    missing: tuple[str, ...] = ()
    """Names of required variables that are not set."""
    next_attempt_at: datetime | None = None
    events: tuple[BackendEvent, ...] = ()
    """The last events, oldest first."""


Fact = (
    InstanceStarted
    | InstanceSkipped
    | InstanceExited
    | InstanceStopped
    | InstanceStopFailed
    | ProvisioningFailed
    | ProvisioningPossible
)
