"""Decides which environment variables users may set, and how large they may be."""

import re
from collections.abc import Mapping

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
"""The names that are allowed."""

MAX_VALUE_BYTES = 64 * 1024
"""Bytes of the longest value: half of what Linux accepts for one variable."""

MAX_VARIABLES = 500
"""Variables of one owner."""

MAX_TOTAL_BYTES = 512 * 1024
"""Bytes of all values of one owner. The variables of two owners fit into one Linux environment."""

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
"""Variables that the plane sets, or that change how a program is loaded."""

RESERVED_PREFIXES = ("DYLD_", "LD_", "MOLECULE_", "PYTHON")
"""Prefixes of further such variables."""


def is_reserved(name: str) -> bool:
    """Whether users may not set the variable."""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def find_variable_fault(name: str, value: str) -> str | None:
    """Return what is wrong with a variable as the public text, or `None`. It contains neither name nor value."""
    if not VARIABLE_NAME.fullmatch(name):
        return "invalid secret key"
    if is_reserved(name):
        return "reserved secret key"
    if not value or "\0" in value:
        return "invalid secret value"
    return f"secret value too long (max {MAX_VALUE_BYTES} bytes)" if len(value.encode()) > MAX_VALUE_BYTES else None


def find_quota_fault(count: int, total_bytes: int) -> str | None:
    """Return what is wrong with the number or the total size of one owner's variables, or `None`."""
    if count > MAX_VARIABLES:
        return f"too many secrets (max {MAX_VARIABLES})"
    return f"secrets too large (max {MAX_TOTAL_BYTES} bytes in all)" if total_bytes > MAX_TOTAL_BYTES else None


def find_first_fault(values: Mapping[str, str]) -> str | None:
    """Return the first fault of all variables of one owner, or `None`."""
    faults = (find_variable_fault(name, value) for name, value in values.items())
    fault = next((text for text in faults if text), None)
    return fault or find_quota_fault(len(values), sum(len(value.encode()) for value in values.values()))
