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

PLANE_NAMES = frozenset(
    ("ADAPTER_MODULE", "HOME", "HOST", "LANG", "PARENT_ID", "PATH", "PLATFORM_URL", "PORT", "WORKSPACE_ID")
)
"""Variables that the plane sets itself."""

LOADER_NAMES = frozenset(
    (
        *("BASHOPTS", "BASH_ENV", "CDPATH", "ENV", "FPATH", "GLOBIGNORE", "IFS", "NULLCMD", "PROMPT_COMMAND", "PS4"),
        *("READNULLCMD", "SHELL", "SHELLOPTS", "SHLIB_PATH", "TMPPREFIX", "ZDOTDIR", "CLASSPATH", "LIBPATH"),
        *("GETCONF_DIR", "HOSTALIASES", "LANGUAGE", "LINGUAS", "LOCALDOMAIN", "LOCPATH", "NIS_PATH", "NLSPATH"),
        *("PATH_LOCALE", "RESOLV_HOST_CONF", "RES_OPTIONS", "TERMCAP", "TERMPATH", "TZ", "TZDIR"),
        *("TEMP", "TMP", "TMPDIR", "LOGNAME", "USER", "COMSPEC", "PATHEXT"),
        *("BROWSER", "EDITOR", "LESSCLOSE", "LESSOPEN", "MANPAGER", "PAGER", "SUDO_EDITOR", "VISUAL"),
        *("AUTHSTATE", "KRB5CCNAME", "KRBTKFILE", "SSH_ASKPASS", "SSH_AUTH_SOCK"),
        *("AWS_CA_BUNDLE", "GNUMAKEFLAGS", "GOFLAGS", "GOPROXY", "MAKEFILES", "MAKEFLAGS", "NETRC"),
        *("REQUESTS_CA_BUNDLE", "RIPGREP_CONFIG_PATH", "TAR_OPTIONS", "WGETRC"),
        *("FORWARDED_ALLOW_IPS", "JAVA_TOOL_OPTIONS", "JAVA_OPTS", "JDK_JAVA_OPTIONS", "PHPRC", "WEB_CONCURRENCY"),
        *("DLC_ACE", "USR_ACE", "VAR_ACE", "RUSTC_WRAPPER", "RUSTFLAGS"),
    )
)
"""Variables that change what a shell, a loader, a resolver, an interpreter or a TLS library reads, runs or writes. The
lists `env_delete` and `env_check` of sudo and the unsafe variables of glibc are part of this table."""

RESERVED_NAMES = PLANE_NAMES | LOADER_NAMES
"""Variables that users may not set, in capitals."""

RESERVED_PREFIXES = (
    "MOLECULE_",
    *("LD_", "DYLD_", "_RLD", "GCONV_", "GLIBC_", "MALLOC_", "LC_", "TERMINFO", "BASH_FUNC_", "XDG_"),
    *("PYTHON", "_PYTHON", "PYDANTIC_", "PIP_", "UV_", "VIRTUAL_ENV", "RUBY", "GEM_", "BUNDLE_", "PERL", "LUA_"),
    "PHP_INI_",
    *("NODE_", "NPM_CONFIG_", "YARN_", "DENO_", "BUN_", "_JAVA_", "JAVA_TOOL_", "JDK_", "DOTNET_", "CORECLR_"),
    *("COMPLUS_", "CARGO_", "RUSTUP_", "GIT_", "KRB5_", "KRBCONF", "KRB_CONF"),
    *("OPENSSL", "SSL", "GNUTLS_", "NSS_", "CURL_", "GRPC_", "OTEL_", "PROTOCOL_BUFFERS_"),
)
"""Prefixes of further such variables, in capitals."""

RESERVED_SUFFIXES = ("_PROXY",)
"""Endings of further such variables, in capitals: they send traffic through another host."""


def is_reserved(name: str) -> bool:
    """Whether users may not set the variable. Lower case counts like capitals, because some libraries read both."""
    upper = name.upper()
    return upper in RESERVED_NAMES or upper.startswith(RESERVED_PREFIXES) or upper.endswith(RESERVED_SUFFIXES)


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
