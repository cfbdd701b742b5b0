"""Which environment variables the plane's users may set, and how much may be in them."""

import re
from collections.abc import Mapping

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
"""What a variable may be called."""

MAX_VALUE_BYTES = 64 * 1024
"""Of the longest value: half of what Linux takes in one variable."""

MAX_VARIABLES = 500
"""Variables that one owner may set."""

MAX_TOTAL_BYTES = 512 * 1024
"""Of all values of one owner: two owners' together are well within what Linux takes in one environment."""

RESERVED_NAMES = frozenset(
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

RESERVED_PREFIXES = ("DYLD_", "LD_", "MOLECULE_", "PYTHON")
"""What the names of more of them begin with."""


def is_reserved(name: str) -> bool:
    """Whether only the plane may set the variable."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def find_variable_fault(name: str, value: str) -> str | None:
    """What is wrong with a variable, in public words; they repeat neither its name nor its value."""
    if not VARIABLE_NAME.fullmatch(name):
        return "invalid secret key"
    if is_reserved(name):
        return "reserved secret key"
    if not value or "\0" in value:
        return "invalid secret value"
    return f"secret value too long (max {MAX_VALUE_BYTES} bytes)" if len(value.encode()) > MAX_VALUE_BYTES else None


def find_quota_fault(count: int, weight: int) -> str | None:
    """What is wrong with so many variables of one owner, with so many bytes in their values."""
    if count > MAX_VARIABLES:
        return f"too many secrets (max {MAX_VARIABLES})"
    return f"secrets too large (max {MAX_TOTAL_BYTES} bytes in all)" if weight > MAX_TOTAL_BYTES else None


def find_first_fault(values: Mapping[str, str]) -> str | None:
    """The first thing wrong with all the variables of one owner."""
    singly = (find_variable_fault(name, value) for name, value in values.items())
    found = next((text for text in singly if text), None)
    return found or find_quota_fault(len(values), sum(len(value.encode()) for value in values.values()))
