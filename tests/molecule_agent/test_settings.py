from datetime import timedelta
from pathlib import Path

import pytest

from molecule_agent.settings import VARIABLES, Settings, SettingsError

ID = "0a6c1a3e-0d5c-4c3a-8c39-8f2f3a3c1a11"
LEAST = {"WORKSPACE_ID": ID, "PLATFORM_URL": "http://127.0.0.1:8080/"}


def test_two_variables_are_enough():
    settings = Settings.from_environment(LEAST)

    assert settings == Settings(workspace_id=ID, platform_url="http://127.0.0.1:8080")
    assert settings.heartbeat == timedelta(seconds=30)
    assert settings.root == Path("/")


def test_every_variable_sets_its_field():
    settings = Settings.from_environment(
        LEAST
        | {
            "HOST": "ws-1",
            "PORT": "8000",
            "PARENT_ID": ID.upper(),
            "MODEL": "gpt",
            "ADAPTER_MODULE": "mine",
            "MOLECULE_ROOT": "/srv/ada",
            "DELIVERY_MODE": "poll",
            "AGENT_NAME": "lead",
            "HEARTBEAT_SECONDS": "0.5",
        }
    )

    assert settings == Settings(
        workspace_id=ID,
        platform_url="http://127.0.0.1:8080",
        host="ws-1",
        port=8000,
        parent_id=ID,
        model="gpt",
        adapter_module="mine",
        root=Path("/srv/ada"),
        delivery_mode="poll",
        agent_name="lead",
        heartbeat=timedelta(seconds=0.5),
    )


@pytest.mark.covers("AGT-08")
@pytest.mark.parametrize("empty", [{}, {"PARENT_ID": ""}, {"PARENT_ID": "  "}])
def test_a_root_has_no_parent(empty):
    assert Settings.from_environment(LEAST | empty).parent_id is None


@pytest.mark.parametrize("missing", sorted(LEAST))
def test_a_missing_required_variable_is_named(missing):
    with pytest.raises(SettingsError, match=f"^{missing} is required$"):
        Settings.from_environment({name: text for name, text in LEAST.items() if name != missing})


@pytest.mark.parametrize(
    ("variable", "text", "meant"),
    [
        ("WORKSPACE_ID", "me", "a UUID"),
        ("PARENT_ID", "root", "a UUID"),
        ("PLATFORM_URL", "127.0.0.1:8080", "an http or https URL"),
        ("PLATFORM_URL", "ftp://plane", "an http or https URL"),
        ("PORT", "-1", "a port from 0 to 65535"),
        ("PORT", "70000", "a port from 0 to 65535"),
        ("DELIVERY_MODE", "carrier", "push or poll"),
        ("HEARTBEAT_SECONDS", "0", "a number of seconds, more than 0 and at most a day"),
        ("HEARTBEAT_SECONDS", "often", "a number of seconds, more than 0 and at most a day"),
        ("HEARTBEAT_SECONDS", "nan", "a number of seconds, more than 0 and at most a day"),
        ("HEARTBEAT_SECONDS", "1e999", "a number of seconds, more than 0 and at most a day"),
    ],
)
def test_an_invalid_value_is_refused_in_one_line(variable, text, meant):
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(LEAST | {variable: text})

    assert str(refused.value) == f"{variable} must be {meant} (got {text!r})"


def test_the_guide_for_authors_lists_every_variable():
    guide = Path("docs/agents.md").read_text(encoding="utf-8")

    assert [variable for variable in VARIABLES if f"| `{variable}`" not in guide] == []
