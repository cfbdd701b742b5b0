"""Programs that the gateway hands to agents as text and never runs: the standard library, Python 3.9 and REST alone."""

from functools import cache
from importlib import resources


@cache
def load_snippet(name: str) -> str:
    """Return the source of a program by its module name."""
    return resources.files(__name__).joinpath(f"{name}.py").read_text()
