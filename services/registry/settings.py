"""The settings of the registry."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from services.chassis.addresses import AddressRules
from services.chassis.setting_types import Days, DirectoryPath, FilePath, Networks, Seconds, Targets, Url
from services.chassis.settings import DatabaseSettings, Mode, with_prefix


class Settings(DatabaseSettings):
    """The settings of the registry, read from environment variables."""

    model_config = with_prefix("REGISTRY_")

    auth_targets: Targets = Field(validation_alias="AUTH_TARGETS")
    """Where auth is: a Unix socket, `host:port`, or several joined by commas."""

    liveness_timeout: Seconds = Field(default=timedelta(seconds=180), validation_alias="LIVENESS_TIMEOUT_SECONDS")
    """Seconds of silence until a managed workspace is offline."""

    remote_liveness_timeout: Seconds = Field(
        default=timedelta(seconds=90), validation_alias="REMOTE_LIVENESS_STALE_AFTER"
    )
    """Seconds of silence until an external workspace awaits its agent."""

    provision_timeout: Seconds | None = Field(default=None, validation_alias="PROVISION_TIMEOUT_SECONDS")
    """Seconds that an agent may take to start, for every runtime; the limit of its runtime when unset."""

    configs_dir: DirectoryPath = Field(default=Path("workspace-configs-templates"), validation_alias="CONFIGS_DIR")
    """Directory of the workspace templates; a missing directory has none."""

    org_templates_dir: DirectoryPath = Field(default=Path("org-templates"), validation_alias="ORG_TEMPLATES_DIR")
    """Directory of the org templates; a missing directory has none."""

    event_retention: Days = Field(default=timedelta(days=30), validation_alias="EVENT_RETENTION_DAYS")
    """Days that events are kept."""

    max_events: int = Field(default=1_000_000, ge=1_000, le=1_000_000_000)
    """Events that are kept; beyond them the oldest are deleted, however old they are."""

    agent_url_allowed: Networks = Field(default=(), validation_alias="AGENT_URL_ALLOWED_CIDRS")
    """Private networks, separated by commas, in which agents may be in production."""

    platform_url: Url = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """The URL at which agents reach the plane; no agent may have it as its own address."""

    external_platform_url: Url = Field(default="", validation_alias="EXTERNAL_PLATFORM_URL")
    """Public address of the plane in answers, by default the address of the request; none that an agent may have."""

    agent_card_keys: FilePath | None = Field(default=None, validation_alias="AGENT_CARD_KEYS")
    """File with the JSON Web Key Set of those who sign agent cards; unset: no signature is verified."""

    org_id: str = Field(default="", validation_alias="MOLECULE_ORG_ID")
    """Set where the plane runs as a service for one organisation; agents then have addresses as in `saas`."""

    deploy_mode: str = Field(default="", validation_alias="MOLECULE_DEPLOY_MODE", pattern="^(saas|self-hosted)?$")
    """`saas` or `self-hosted`: which addresses agents may have; unset: `saas` if MOLECULE_ORG_ID is set."""

    max_workspaces: int = Field(default=100_000, ge=1, le=10_000_000)
    """Workspaces of the plane that are not removed."""

    max_workspaces_per_org: int = Field(default=20_000, ge=1, le=10_000_000)
    """Workspaces of one organisation that are not removed."""

    max_running: int = Field(default=100, ge=1, le=1_000_000)
    """Workspaces whose instances the plane keeps running at one time; external ones do not count."""

    max_running_per_org: int = Field(default=25, ge=1, le=1_000_000)
    """The same for one organisation."""

    @property
    def address_rules(self) -> AddressRules:
        """Which addresses agents may have."""
        saas = self.deploy_mode == "saas" or (not self.deploy_mode and bool(self.org_id))
        return AddressRules(development=self.mode is Mode.DEVELOPMENT, saas=saas, allowed=self.agent_url_allowed)
