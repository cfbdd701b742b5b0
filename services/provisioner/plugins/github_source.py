"""Fetches plugins from GitHub: `github://<owner>/<repository>[/<directory>]#<commit>`."""

import re
import tempfile
from urllib.parse import quote

from services.provisioner.plugins import archive, rules
from services.provisioner.plugins.errors import InvalidPluginSource, PluginUnpinned
from services.provisioner.plugins.fetcher import ArchiveFetcher
from services.provisioner.plugins.model import PluginSource
from services.provisioner.plugins.stage import Stage
from services.provisioner.plugins.threads import run_in_thread

OWNER_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")

REPOSITORY_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,100}")

NEWEST = "HEAD"
"""The revision of a source that names none."""


class GithubSource:
    """Downloads the archive of one commit and takes the files of one directory of it."""

    scheme = "github"

    def __init__(self, fetcher: ArchiveFetcher, *, allows_unpinned: bool) -> None:
        self._fetcher = fetcher
        self._allows_unpinned = allows_unpinned

    def check(self, source: PluginSource) -> None:
        owner, repository, *_ = (*source.location, "")
        if not OWNER_PATTERN.fullmatch(owner) or not REPOSITORY_PATTERN.fullmatch(repository):
            raise InvalidPluginSource
        if ".." in source.revision:
            raise InvalidPluginSource
        if not self._allows_unpinned and not rules.is_commit(source.revision):
            raise PluginUnpinned

    async def fetch(self, source: PluginSource, stage: Stage) -> None:
        owner, repository, *directory = source.location
        path = f"/{owner}/{repository}/tar.gz/{quote(source.revision or NEWEST, safe='/')}"
        with tempfile.TemporaryFile(dir=stage.directory) as file:
            await self._fetcher.download(path, file, max_bytes=stage.limits.max_bytes)
            file.seek(0)
            await run_in_thread(lambda: archive.unpack(file, stage, tuple(directory)))
