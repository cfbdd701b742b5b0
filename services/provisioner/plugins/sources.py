"""The sources of plugins, by scheme, and the protocols that they implement."""

from collections.abc import Sequence
from typing import Protocol

from services.provisioner.plugins.errors import InvalidPluginSource
from services.provisioner.plugins.model import PluginSource
from services.provisioner.plugins.stage import Stage


class SourceFailure(Exception):
    """A source cannot deliver a plugin. The text is for the log: it may quote what a remote host answered."""


class SourceMissing(SourceFailure):
    """The source has no such plugin."""


class SourceTimeout(SourceFailure):
    """The source did not answer in time."""


class PluginResolver(Protocol):
    """Fetches the plugins of one scheme."""

    @property
    def scheme(self) -> str:
        """The scheme, as in `<scheme>://`."""
        ...

    def check(self, source: PluginSource) -> None:
        """Raise `InvalidPluginSource` or `PluginUnpinned` for a source that is not to be fetched."""
        ...

    async def fetch(self, source: PluginSource, stage: Stage) -> None:
        """Add the files of the plugin to the stage.

        Raises a `SourceFailure`, an `OSError`, or what the stage raises. No work goes on after it has returned.
        """
        ...


class PluginSources(Protocol):
    """The sources that a plane fetches plugins from."""

    def register(self, resolver: PluginResolver) -> None:
        """Add a resolver; it replaces one of the same scheme."""
        ...

    def resolve(self, scheme: str) -> PluginResolver:
        """Return the resolver of a scheme; raises `InvalidPluginSource` if there is none."""
        ...

    @property
    def schemes(self) -> Sequence[str]:
        """The schemes, in alphabetical order."""
        ...


class SourceRegistry:
    """Keeps resolvers by their schemes."""

    def __init__(self) -> None:
        self._resolvers: dict[str, PluginResolver] = {}

    def register(self, resolver: PluginResolver) -> None:
        self._resolvers[resolver.scheme] = resolver

    def resolve(self, scheme: str) -> PluginResolver:
        try:
            return self._resolvers[scheme]
        except KeyError:
            raise InvalidPluginSource("unknown plugin source scheme") from None

    @property
    def schemes(self) -> Sequence[str]:
        return sorted(self._resolvers)
