"""Every variable of the provisioner."""

import shlex
from pathlib import Path

from pydantic import Field

from services.chassis.settings import DatabaseSettings, with_prefix


class Settings(DatabaseSettings):
    """The provisioner's settings. The database is used for a lock, and for nothing else."""

    model_config = with_prefix("PROVISIONER_")

    backend: str = "process"
    """Where instances live: `process` on this machine, `none` where agents bring themselves, `fake` nowhere."""

    home: Path = Path("~/.molecule")
    """The directory of the plane on this machine; each workspace's files are in `workspaces/<id>` below it."""

    platform_url: str = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """Where agents reach the plane."""

    registry_targets: str = Field(validation_alias="REGISTRY_TARGETS")
    """The registry: `unix:/path/of.sock`, `host:port`, or a list of `address:port` with commas."""

    auth_targets: str = Field(validation_alias="AUTH_TARGETS")
    """Auth, written in the same way."""

    agent_command: str = ""
    """The command of an agent process, as a shell would read it; empty for our own agent in the plane's interpreter."""

    stop_instances_on_exit: bool = False
    """Whether the instances end with the provisioner; by default they live on and are found again."""

    @property
    def command(self) -> tuple[str, ...]:
        """The command of an agent, taken apart; empty for the default."""
        return tuple(shlex.split(self.agent_command))
