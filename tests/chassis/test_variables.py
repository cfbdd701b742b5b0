"""Which variables users may set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import variables
from services.chassis.variables import MAX_TOTAL_BYTES, MAX_VALUE_BYTES, MAX_VARIABLES


@pytest.mark.parametrize("name", ["A", "_", "a", "OPENAI_API_KEY", "_x9", "MODEL", "X" * 128, "LDAP", "HOSTS"])
def test_an_ordinary_name_is_allowed(name):
    assert variables.find_variable_fault(name, "value") is None


@pytest.mark.parametrize("name", ["", "9A", "A-B", "A B", "A=B", "Ä", "A\n", "X" * 129, "A\0", "A.B", "\u0661"])
def test_an_invalid_name_is_refused(name):
    assert variables.find_variable_fault(name, "value") == "invalid secret key"


@pytest.mark.parametrize(
    "name",
    [
        *("WORKSPACE_ID", "PLATFORM_URL", "HOST", "PORT", "PARENT_ID", "ADAPTER_MODULE", "MOLECULE_ROOT"),
        *("ENV", "GCONV_PATH", "GLIBC_TUNABLES", "IFS", "LANG", "SHELLOPTS", "DYLD_INSERT_LIBRARIES"),
        *("PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "NODE_OPTIONS"),
    ],
)
def test_a_variable_that_the_plane_sets_is_reserved(name):
    assert variables.find_variable_fault(name, "value") == "reserved secret key"
    assert variables.is_reserved(name)


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
