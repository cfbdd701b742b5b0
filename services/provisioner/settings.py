"""The settings of the provisioner, read from the environment."""

import shlex
from pathlib import Path

from pydantic import Field, field_validator

from services.chassis.setting_types import DirectoryPath, Targets, Url
from services.chassis.settings import DatabaseSettings, with_prefix


class Settings(DatabaseSettings):
    """The provisioner's settings. It uses the database for an advisory lock only."""

    model_config = with_prefix("PROVISIONER_")

    backend: str = "process"
    """How instances run: `process` on this machine, `none` if agents are started elsewhere, `fake` in memory only."""

    home: DirectoryPath = Path("~/.molecule")
    """The plane's directory on this machine; the files of each workspace are in `workspaces/<id>` below it."""

    platform_url: Url = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """The URL at which agents reach the plane."""

    registry_targets: Targets = Field(validation_alias="REGISTRY_TARGETS")
    """The registry's address: `unix:/path/of.sock`, `host:port`, or a list of `address:port` separated by commas."""

    auth_targets: Targets = Field(validation_alias="AUTH_TARGETS")
    """The address of auth, in the same format."""

    agent_command: str = ""
    """The command of an agent process in shell syntax; empty for the built-in agent with the plane's interpreter."""

    max_concurrent_starts: int = Field(default=3, ge=1, le=1_000)
    """Workspaces that start at the same time; others wait, and organisations take turns."""

    stop_instances_on_exit: bool = False
    """Whether instances stop with the provisioner; by default they keep running and are found again."""

    @field_validator("agent_command")
    @classmethod
    def _is_shell_syntax(cls, value: str) -> str:
        shlex.split(value)
        return value

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of `agent_command`; empty for the default."""
        return tuple(shlex.split(self.agent_command))
