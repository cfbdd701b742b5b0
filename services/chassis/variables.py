"""Which environment variables the plane's users may set, and how much may be in them."""

import re
from collections.abc import Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
"""What a variable may be called."""

VALUE_BYTES = 64 * 1024
"""Of the longest value: half of what Linux takes in one variable."""

MOST = 500
"""Variables that one owner may set."""

MOST_BYTES = 512 * 1024
"""Of all values of one owner: two owners' together are well within what Linux takes in one environment."""

OWN = frozenset(
    {
        "ADAPTER_MODULE",
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "HOME",
        "HOST",
        "IFS",
        "LANG",
        "NODE_OPTIONS",
        "PARENT_ID",
        "PATH",
        "PLATFORM_URL",
        "PORT",
        "SHELLOPTS",
        "WORKSPACE_ID",
    }
)
"""Variables that only the plane sets, or that change how a program is loaded."""

OWN_PREFIXES = ("DYLD_", "LD_", "MOLECULE_", "PYTHON")
"""What the names of more of them begin with."""


def is_own(name: str) -> bool:
    """Whether only the plane may set the variable."""
    return name in OWN or name.startswith(OWN_PREFIXES)


def fault(name: str, value: str) -> str | None:
    """What is wrong with a variable, in public words; they repeat neither its name nor its value."""
    if not NAME.fullmatch(name):
        return "invalid secret key"
    if is_own(name):
        return "reserved secret key"
    if not value or "\0" in value:
        return "invalid secret value"
    return f"secret value too long (max {VALUE_BYTES} bytes)" if len(value.encode()) > VALUE_BYTES else None


def excess(count: int, weight: int) -> str | None:
    """What is wrong with so many variables of one owner, with so many bytes in their values."""
    if count > MOST:
        return f"too many secrets (max {MOST})"
    return f"secrets too large (max {MOST_BYTES} bytes in all)" if weight > MOST_BYTES else None


def fault_in(values: Mapping[str, str]) -> str | None:
    """The first thing wrong with all the variables of one owner."""
    singly = (fault(name, value) for name, value in values.items())
    found = next((text for text in singly if text), None)
    return found or excess(len(values), sum(len(value.encode()) for value in values.values()))
