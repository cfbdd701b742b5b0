"""The welcome text names commands that work with the settings of the plane."""

import pytest

from deploy.settings import UpSettings, read_settings_from
from deploy.welcome import build_welcome_lines

TEAM = {"lead": "0a6c1a3e-0d5c-4c3a-8c39-8f2f3a3c1a11"}


@pytest.mark.covers("OPS-06")
@pytest.mark.parametrize(
    ("in_file", "heading", "header"),
    [
        (False, "with ADMIN_TOKEN set:", 'Bearer $ADMIN_TOKEN"'),
        (True, "with ADMIN_TOKEN_FILE set:", 'Bearer $(cat $ADMIN_TOKEN_FILE)"'),
    ],
)
def test_commands_read_the_token_where_the_operator_keeps_it(in_file, heading, header):
    settings = read_settings_from({"ADMIN_TOKEN": "a-token-of-the-operator"}, UpSettings)

    lines = build_welcome_lines(settings, team=TEAM, seconds=1.0, token_in_file=in_file)

    text = "\n".join(lines)
    assert heading in text
    assert header in text
    assert "a-token-of-the-operator" not in text


def test_a_plane_without_a_token_needs_none():
    settings = read_settings_from({}, UpSettings)

    text = "\n".join(build_welcome_lines(settings, team=TEAM, seconds=1.0, token_in_file=False))

    assert "Try in another terminal:" in text
    assert "Authorization" not in text
