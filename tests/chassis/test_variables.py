"""Which variables users may set."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import variables
from services.chassis.variables import MAX_TOTAL_BYTES, MAX_VALUE_BYTES, MAX_VARIABLES
from services.registry import catalog

CATALOGUE = Path(catalog.__file__).with_name("catalog.yaml")


@pytest.mark.parametrize("name", ["A", "_", "a", "OPENAI_API_KEY", "_x9", "MODEL", "X" * 128, "LDAP", "HOSTS"])
def test_an_ordinary_name_is_allowed(name):
    assert variables.find_variable_fault(name, "value") is None


@pytest.mark.parametrize("name", ["", "9A", "A-B", "A B", "A=B", "Ä", "A\n", "X" * 129, "A\0", "A.B", "\u0661"])
def test_an_invalid_name_is_refused(name):
    assert variables.find_variable_fault(name, "value") == "invalid secret key"


PLANE_VARIABLES = ("WORKSPACE_ID", "PLATFORM_URL", "HOST", "PORT", "PARENT_ID", "ADAPTER_MODULE", "MOLECULE_ROOT")

SUDO_ENV_DELETE = (
    *("IFS", "CDPATH", "LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES", "NLSPATH", "PATH_LOCALE", "LD_PRELOAD"),
    *("_RLD_LIST", "SHLIB_PATH", "LIBPATH", "AUTHSTATE", "DYLD_INSERT_LIBRARIES", "KRB_CONF", "KRBCONFDIR"),
    *("KRBTKFILE", "KRB5_CONFIG", "KRB5_KTNAME", "VAR_ACE", "USR_ACE", "DLC_ACE", "TERMINFO", "TERMINFO_DIRS"),
    *("TERMPATH", "TERMCAP", "ENV", "BASH_ENV", "PS4", "GLOBIGNORE", "BASHOPTS", "SHELLOPTS", "JAVA_TOOL_OPTIONS"),
    *("PERLIO_DEBUG", "PERLLIB", "PERL5LIB", "PERL5OPT", "PERL5DB", "FPATH", "NULLCMD", "READNULLCMD", "ZDOTDIR"),
    *("TMPPREFIX", "PYTHONHOME", "PYTHONPATH", "PYTHONINSPECT", "PYTHONUSERBASE", "RUBYLIB", "RUBYOPT"),
    *("LANG", "LANGUAGE", "LC_ALL", "LINGUAS", "TZ"),
)
"""The variables that sudo removes or checks (`env_delete`, `env_check`)."""

GLIBC_UNSAFE = (
    *("GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LD_AUDIT", "LOCALDOMAIN", "LOCPATH"),
    *("MALLOC_TRACE", "MALLOC_CHECK_", "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TMPDIR", "TZDIR"),
)
"""The variables that glibc removes from the environment of a privileged program."""

TLS_AND_PROXIES = (
    *("SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "OPENSSL_MODULES", "REQUESTS_CA_BUNDLE"),
    *("CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"),
    *("GRPC_PROXY", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "OTEL_EXPORTER_OTLP_ENDPOINT", "NETRC"),
)

INTERPRETERS = (
    *("NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_REGISTRY", "UV_INDEX_URL", "PIP_INDEX_URL", "PYTHONSTARTUP"),
    *("_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "DOTNET_STARTUP_HOOKS", "CORECLR_PROFILER", "RUBYOPT", "GEM_PATH"),
    *("GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "PROMPT_COMMAND", "EDITOR", "VISUAL", "PAGER", "XDG_CONFIG_HOME"),
    *("PATH", "HOME", "TEMP", "CLASSPATH", "BROWSER", "FORWARDED_ALLOW_IPS"),
    *("_PYTHON_SYSCONFIGDATA_NAME", "GNUMAKEFLAGS", "MAKEFILES", "RIPGREP_CONFIG_PATH", "TAR_OPTIONS", "WGETRC"),
)


@pytest.mark.covers("ENV-01")
@pytest.mark.parametrize(
    "name", sorted({*PLANE_VARIABLES, *SUDO_ENV_DELETE, *GLIBC_UNSAFE, *TLS_AND_PROXIES, *INTERPRETERS})
)
def test_a_variable_that_changes_how_a_program_is_loaded_or_connects_is_reserved_in_any_case(name):
    for spelling in (name, name.lower(), name.title()):
        assert variables.find_variable_fault(spelling, "value") == "reserved secret key"
        assert variables.is_reserved(spelling)


@pytest.mark.covers("ENV-01")
@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "NPM_TOKEN", "JAVA_HOME", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"])
def test_a_credential_of_a_tool_is_not_reserved(name):
    assert not variables.is_reserved(name)


@pytest.mark.covers("ENV-01")
def test_the_table_of_reserved_variables_is_in_capitals():
    every = {*variables.RESERVED_NAMES, *variables.RESERVED_PREFIXES, *variables.RESERVED_SUFFIXES}
    assert {entry for entry in every if entry != entry.upper()} == set()


@pytest.mark.covers("ENV-01")
def test_no_variable_of_the_catalogue_is_reserved():
    known = yaml.safe_load(CATALOGUE.read_text())
    needed = {
        name
        for entry in (*known["runtimes"], *known["providers"])
        for value in (entry.get(key) or [] for key in ("required_env", "model_variables", "keys", "provider_variable"))
        for item in ([value] if isinstance(value, str) else value)
        for name in (item["any_of"] if isinstance(item, dict) else [item])
    }
    assert {"ANTHROPIC_API_KEY", "HERMES_DEFAULT_MODEL", "MODEL_PROVIDER"} < needed
    assert {name for name in needed if variables.is_reserved(name)} == set()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "invalid secret value"),
        ("a\0b", "invalid secret value"),
        ("a" * MAX_VALUE_BYTES, None),
        ("a\nb", None),
        ("a" * (MAX_VALUE_BYTES + 1), "secret value too long (max 65536 bytes)"),
        ("ä" * (MAX_VALUE_BYTES // 2 + 1), "secret value too long (max 65536 bytes)"),
    ],
)
def test_values_have_limits(value, said):
    assert variables.find_variable_fault("KEY", value) == said


def test_all_variables_of_one_owner_have_limits():
    assert variables.find_quota_fault(MAX_VARIABLES, MAX_TOTAL_BYTES) is None
    assert variables.find_quota_fault(MAX_VARIABLES + 1, 0) == "too many secrets (max 500)"
    assert variables.find_quota_fault(1, MAX_TOTAL_BYTES + 1) == "secrets too large (max 524288 bytes in all)"


def test_all_variables_of_one_owner_are_checked_together():
    assert variables.find_first_fault({"A": "1", "B": "2"}) is None
    assert variables.find_first_fault({"A": "1", "PATH": "2"}) == "reserved secret key"
    assert (
        variables.find_first_fault({f"K{number}": "v" for number in range(MAX_VARIABLES + 1)})
        == "too many secrets (max 500)"
    )
    assert variables.find_first_fault(
        {f"K{number}": "v" * MAX_VALUE_BYTES for number in range(9)}
    ) == variables.find_quota_fault(1, 2**20)


@given(st.text(), st.text())
def test_no_fault_text_repeats_the_input(name, value):
    said = variables.find_variable_fault(f"{name}-marker", f"{value}\0marker")
    assert said is not None
    assert "marker" not in said
