"""Reads the version of the installed release."""

from importlib import metadata

DISTRIBUTION = "molecule"


def read_version() -> str:
    """Return the version of the installed distribution; `unknown` where the code is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
