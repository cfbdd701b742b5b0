"""Hides optional dependencies from libraries while they are imported."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hide_modules(*packages: str) -> Iterator[None]:
    """
    Make imports inside the block find the named packages missing, as if they were not installed.

    Libraries import optional dependencies when they find them: httpx a console, a2a-sdk two web frameworks and a
    database. An agent uses none of these, and importing them would take most of its start. Packages that were
    imported before stay imported; after the block all packages can be imported as usual.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None marks a missing module for the import system
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]
