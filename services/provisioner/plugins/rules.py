"""Decides which sources, names and paths of plugins are valid, and computes the digest of a plugin."""

import hashlib
import re
from collections.abc import Iterable

from services.provisioner.errors import InvalidPath
from services.provisioner.file_rules import parse_path
from services.provisioner.model import FilePath
from services.provisioner.plugins.errors import InvalidPluginSource, PluginRefused
from services.provisioner.plugins.model import FileDigest, PluginSource

MAX_SOURCE_CHARACTERS = 1_000

SCHEME_PATTERN = re.compile(r"[a-z][a-z0-9+.-]{0,31}")

REVISION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")

COMMIT_PATTERN = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""The whole id of a commit; a branch, a tag or a shortened id may mean another commit tomorrow."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

DIGEST_PATTERN = re.compile(r"[0-9a-fA-F]{64}")


def parse_source(text: str) -> PluginSource:
    """Return the parts of a source; raises `InvalidPluginSource`."""
    if not text:
        raise InvalidPluginSource("source is required")
    scheme, has_location, rest = text.partition("://")
    if len(text) > MAX_SOURCE_CHARACTERS or not has_location or not SCHEME_PATTERN.fullmatch(scheme):
        raise InvalidPluginSource
    location, has_revision, revision = rest.partition("#")
    if has_revision and not REVISION_PATTERN.fullmatch(revision):
        raise InvalidPluginSource
    try:
        names = parse_path(location)
    except InvalidPath:
        raise InvalidPluginSource from None
    return PluginSource(text=text, scheme=scheme, location=names, revision=revision)


def parse_digest(text: str) -> str:
    """Return a requested digest in lower case, empty for none; raises `InvalidPluginSource`."""
    if text and not DIGEST_PATTERN.fullmatch(text):
        raise InvalidPluginSource("invalid sha256")
    return text.lower()


def is_commit(revision: str) -> bool:
    """Whether a revision names one commit for ever."""
    return COMMIT_PATTERN.fullmatch(revision) is not None


def is_plugin_name(name: str) -> bool:
    """Whether a plugin may have this name; it becomes a directory below /plugins."""
    return NAME_PATTERN.fullmatch(name) is not None


def parse_member(text: str) -> FilePath:
    """Return the names of the path of a file within a plugin; raises `PluginRefused`."""
    try:
        return parse_path(text)
    except InvalidPath:
        raise PluginRefused("plugin contains a file name that is not allowed") from None


def compute_digest(files: Iterable[FileDigest]) -> str:
    """Return the SHA-256 of a plugin: that of its list of files, as `sha256sum` writes it, in the order of bytes."""
    listed = sorted((f"./{'/'.join(file.path)}".encode(), file.sha256.encode()) for file in files)
    return hashlib.sha256(b"".join(digest + b"  " + path + b"\n" for path, digest in listed)).hexdigest()


def is_runtime_supported(runtimes: Iterable[str], runtime: str) -> bool | None:
    """Whether a plugin is made for a runtime, however it separates words; `None` if it names no runtimes."""
    names = {_normalise_runtime(each) for each in runtimes}
    return _normalise_runtime(runtime) in names if names else None


def _normalise_runtime(name: str) -> str:
    return name.strip().lower().replace("_", "-")
