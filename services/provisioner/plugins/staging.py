"""Fetches a plugin from its source into a directory of this machine, checks it, and deletes it after its use."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from services.provisioner.plugins import rules
from services.provisioner.plugins.errors import (
    PluginDigestMismatch,
    PluginFetchFailed,
    PluginFetchTimeout,
    PluginRefused,
    PluginSourceMissing,
)
from services.provisioner.plugins.manifest import parse_manifest
from services.provisioner.plugins.masking import mask_credentials
from services.provisioner.plugins.model import MANIFEST_NAMES, MAX_MANIFEST_BYTES, Manifest, PluginLimits, PluginSource
from services.provisioner.plugins.sources import (
    PluginResolver,
    PluginSources,
    SourceFailure,
    SourceMissing,
    SourceTimeout,
)
from services.provisioner.plugins.stage import Stage
from services.provisioner.plugins.threads import run_in_thread

MAX_STAGED = 2
"""Plugins that are staged at the same time; further ones wait."""

LEFTOVER_AGE = timedelta(hours=1)
"""Age of a stage that a provisioner has left behind which was killed: longer than any fetch lasts."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StagedPlugin:
    """A plugin whose files are on this machine and were checked."""

    manifest: Manifest
    sha256: str
    files: Stage


class PluginStager:
    """Stages plugins below one directory, a few at a time."""

    def __init__(self, sources: PluginSources, *, root: Path, limits: PluginLimits) -> None:
        self._sources = sources
        self._root = root
        self._limits = limits
        self._slots = asyncio.Semaphore(MAX_STAGED)

    def check(self, text: str) -> PluginSource:
        """Return the parts of a source; raises `InvalidPluginSource` or `PluginUnpinned`. Nothing is fetched."""
        source = rules.parse_source(text)
        self._sources.resolve(source.scheme).check(source)
        return source

    @asynccontextmanager
    async def stage(self, source: PluginSource, sha256: str = "") -> AsyncIterator[StagedPlugin]:
        """Fetch a plugin that was checked, for the length of the block; `sha256` is the digest that it must have.

        Raises `PluginSourceMissing`, `PluginFetchTimeout` or `PluginFetchFailed`, whose cause is logged; and
        `PluginTooLarge`, `PluginRefused` or `PluginDigestMismatch`. Nothing stays on this machine.
        """
        resolver = self._sources.resolve(source.scheme)
        async with self._slots:
            directory = await run_in_thread(self._create_directory)
            try:
                stage = Stage(directory, self._limits)
                await _fetch(resolver, source, stage)
                yield await run_in_thread(lambda: _check_stage(stage, sha256))
            finally:
                await run_in_thread(lambda: shutil.rmtree(directory, ignore_errors=True))

    def _create_directory(self) -> Path:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        oldest = time.time() - LEFTOVER_AGE.total_seconds()
        for leftover in self._root.iterdir():
            if leftover.stat().st_mtime < oldest:
                shutil.rmtree(leftover, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._root))


async def _fetch(resolver: PluginResolver, source: PluginSource, stage: Stage) -> None:
    """Fetch the files; raises the public errors and logs their causes."""
    try:
        await resolver.fetch(source, stage)
    except SourceMissing as error:
        _log_failure(source, error)
        raise PluginSourceMissing(source.scheme) from None
    except SourceTimeout as error:
        _log_failure(source, error)
        raise PluginFetchTimeout(source.scheme) from None
    except (SourceFailure, OSError) as error:
        _log_failure(source, error)
        raise PluginFetchFailed(source.scheme) from None


def _log_failure(source: PluginSource, error: Exception) -> None:
    text = mask_credentials(str(error) or repr(error))
    log.warning("plugin not fetched", source=mask_credentials(source.text), error=text)


def _check_stage(stage: Stage, sha256: str) -> StagedPlugin:
    found = stage.compute_digest()
    if sha256 and found != sha256:
        raise PluginDigestMismatch(found)
    path = next(((name,) for name in MANIFEST_NAMES if (name,) in stage.paths), None)
    if path is None:
        raise PluginRefused("plugin has no manifest: plugin.yaml or plugin.json")
    content = stage.read(path)
    if len(content) > MAX_MANIFEST_BYTES:
        raise PluginRefused("invalid plugin manifest")
    return StagedPlugin(parse_manifest(content), found, stage)
