"""The list of every setting."""

import re
from base64 import b64encode
from pathlib import Path

import pytest

from deploy import settings_file
from services.chassis import settings
from services.chassis.settings import describe_settings, load_settings

ROOT = Path(__file__).parents[2]


def test_settings_file_matches_the_code():
    assert settings_file.FILE.read_text() == settings_file.render_settings_file(), "run `make settings`"


def test_each_setting_has_a_description():
    for module in settings_file.SOURCES:
        for kind in settings_file._find_settings_classes(module):
            for name, _, meaning in describe_settings(kind):
                assert meaning, f"{name} of {module}"


def test_check_notices_a_stale_file(tmp_path):
    stale = tmp_path / "settings.env"
    stale.write_text("#PORT=1\n")

    assert settings_file.check_settings_file(stale) == 1
    assert settings_file.check_settings_file(settings_file.FILE) == 0


def test_each_variable_of_molecule_up_is_documented():
    documented = (ROOT / "docs" / "operating.md").read_text()

    for name, _, _ in settings.describe_settings(settings_file.UpSettings):
        assert re.search(rf"^\| `{name}` \|", documented, re.MULTILINE), name


REQUIRED = {
    "DATABASE_URL": "postgresql://u@h/n",
    "ADMIN_TOKEN": "a-token-of-the-operator-that-is-long-enough",
    "SECRETS_ENCRYPTION_KEY": f"1:{b64encode(bytes(32)).decode()}",
}


@pytest.mark.parametrize("module", settings_file.SOURCES)
def test_every_default_can_be_set_as_it_is_listed(module, monkeypatch):
    for kind in settings_file._find_settings_classes(module):
        listed = {name: default for name, default, _ in describe_settings(kind)}
        for name, default in listed.items():
            monkeypatch.delenv(name, raising=False)
            if name in REQUIRED or default == "(required)":
                monkeypatch.setenv(name, REQUIRED.get(name, "unix:/nowhere"))
        plain = load_settings(kind)
        for name, default in listed.items():
            if default not in {"", "(required)"}:
                monkeypatch.setenv(name, default)

        assert load_settings(kind) == plain
