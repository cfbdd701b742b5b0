"""Big libraries without what they merely look for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hide_modules(*packages: str) -> Iterator[None]:
    """
    Imports inside find the named packages missing, as on a machine where they are not installed.

    Libraries load optional companions when they find them: httpx a console, a2a-sdk two web frameworks and a
    database. An agent uses none of these and would spend most of its start on them. What was imported before
    stays as it is; afterwards everything can be imported as usual.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None is how the import system says: not there
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]
