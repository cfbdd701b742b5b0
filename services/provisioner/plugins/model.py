"""The words about plugins: sources, manifests, limits, staged and installed plugins."""

from dataclasses import dataclass
from datetime import timedelta

from services.provisioner.model import FilePath

KIBIBYTE = 1024

MAX_FILES = 1_000
"""Files of a plugin."""

MAX_MANIFEST_BYTES = 64 * KIBIBYTE
"""Bytes of a manifest."""

MAX_PLUGINS = 100
"""Plugins in the list of one workspace."""

MANIFEST_NAMES = ("plugin.yaml", "plugin.json")
"""The manifest of a plugin is the first of these files that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSource:
    """Where a plugin comes from: `<scheme>://<location>[#<revision>]`. `location` has the names between its slashes."""

    text: str
    scheme: str
    location: tuple[str, ...]
    revision: str = ""


@dataclass(frozen=True, slots=True)
class PluginLimits:
    """How large a plugin may be, and how long its source may take to answer."""

    max_bytes: int
    fetch_timeout: timedelta
    max_files: int = MAX_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a plugin says about itself."""

    name: str
    version: str = ""
    description: str = ""
    author: str = ""
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin of a workspace. `is_supported` is `None` if its manifest names no runtimes."""

    manifest: Manifest
    is_supported: bool | None = None


@dataclass(frozen=True, slots=True)
class PluginReceipt:
    """A plugin that was installed, and the digest of its files."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The SHA-256 of one file of a plugin, in hexadecimal digits."""

    path: FilePath
    sha256: str
