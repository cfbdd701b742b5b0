"""The list of every setting."""

import re
from pathlib import Path

from deploy import settings_file
from services.chassis import settings
from services.chassis.settings import describe_settings

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
