"""The options of the backend `control_plane`."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneOptions:
    """The options of the backend `control_plane`; the settings of the provisioner say what each one means."""

    url: str = ""
    token: str = field(default="", repr=False)
    authority: Path | None = None
    tenant_domain: str = ""
    timeout: timedelta = timedelta(seconds=20)
