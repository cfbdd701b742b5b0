"""Decides which dialect of A2A a caller uses."""

import re
from urllib.parse import parse_qsl

from molecule_a2a.errors import VERSION_NOT_SUPPORTED, ConversionFailed
from molecule_a2a.methods import find_method
from molecule_a2a.model import Dialect

VERSION_PARAMETER = "A2A-Version"
"""The query parameter that stands for the header of the same name (A2A 1.0, 3.6.1)."""

MAX_VERSION_LENGTH = 20
"""Characters of the longest version that is read."""


def read_dialect(*, header: str, query: str, method: object) -> Dialect:
    """Return the dialect of a caller: by its A2A-Version header, its query string, or the name of its method.

    The name of a method that A2A does not have counts by its form, and anything else as 0.3, as A2A 1.0 demands for an
    empty version. Raises `ConversionFailed` for a version that is not served.
    """
    version = header.strip() or _find_parameter(query).strip()
    if version:
        dialect = find_dialect(version)
        if dialect is None:
            raise ConversionFailed(
                VERSION_NOT_SUPPORTED, f"A2A version {version[:MAX_VERSION_LENGTH]!r} is not supported"
            )
        return dialect
    known = find_method(method)
    if known is not None:
        return known.dialect
    is_current = isinstance(method, str) and "/" not in method and method[:1].isupper()
    return Dialect.CURRENT if is_current else Dialect.LEGACY


def find_dialect(version: str) -> Dialect | None:
    """Return the dialect of a version: `Major.Minor`, with or without a patch number; `1` alone is 1.0."""
    if version == "1":
        return Dialect.CURRENT
    if len(version) > MAX_VERSION_LENGTH or not _VERSION.fullmatch(version):
        return None
    return Dialect.LEGACY if version[0] == "0" else Dialect.CURRENT


def cut_patch(version: str) -> str:
    """Return `Major.Minor` of a version; `1` alone is 1.0."""
    return "1.0" if version == "1" else ".".join(version.split(".")[:2])


_VERSION = re.compile(r"[01]\.[0-9]+(\.[0-9]+)?")


def _find_parameter(query: str) -> str:
    if VERSION_PARAMETER not in query:
        return ""
    return next((value for name, value in parse_qsl(query) if name == VERSION_PARAMETER), "")
