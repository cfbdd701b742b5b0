"""Fetches plugins from a directory of this machine: `local://<directory>`."""

import os
import stat
from pathlib import Path
from typing import NoReturn

from services.provisioner.plugins import rules
from services.provisioner.plugins.errors import InvalidPluginSource, PluginRefused
from services.provisioner.plugins.model import PluginSource
from services.provisioner.plugins.sources import SourceMissing
from services.provisioner.plugins.stage import Stage
from services.provisioner.plugins.threads import run_in_thread

OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

NOT_COPIED = frozenset({".git"})
"""Directories of a plugin that are left out."""

LINK_TEXT = "plugin contains a link or a special file"


class LocalSource:
    """Copies plugins from below the operator's plugin directory. No link is followed; one is refused."""

    scheme = "local"

    def __init__(self, root: Path) -> None:
        self._root = root

    def check(self, source: PluginSource) -> None:
        if source.revision:
            raise InvalidPluginSource

    async def fetch(self, source: PluginSource, stage: Stage) -> None:
        await run_in_thread(lambda: self._copy(source, stage))

    def _copy(self, source: PluginSource, stage: Stage) -> None:
        directory = self._root.joinpath(*source.location)
        if not directory.is_dir():
            raise SourceMissing(f"{directory} is no directory")
        if directory.resolve() != self._root.resolve().joinpath(*source.location):
            raise PluginRefused(LINK_TEXT)
        for above, directories, files, descriptor in os.fwalk(directory, onerror=_raise_error):
            directories[:] = sorted(set(directories) - NOT_COPIED)
            prefix = Path(above).relative_to(directory)
            for name in directories:
                rules.parse_member(str(prefix / name))
                if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    raise PluginRefused(LINK_TEXT)
            for name in files:
                _copy_file(stage, str(prefix / name), name, descriptor)


def _copy_file(stage: Stage, path: str, name: str, directory: int) -> None:
    """Copy a regular file; raises `PluginRefused` for anything else."""
    if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        raise PluginRefused(LINK_TEXT)
    with os.fdopen(os.open(name, OPEN_FILE, dir_fd=directory), "rb") as file:
        stage.add_file(path, file)


def _raise_error(error: OSError) -> NoReturn:
    raise error
