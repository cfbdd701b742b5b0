"""Secrets in files, and secrets that are too weak."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, TypeAdapter

from services.chassis.setting_types import DirectoryPath
from services.chassis.settings import DatabaseSettings, EnvironmentSettings, InvalidSettings, load_settings, with_prefix


class Settings(EnvironmentSettings):
    model_config = with_prefix("")

    token: SecretStr | None = Field(default=None, validation_alias="THE_TOKEN")
    """A secret."""

    name: str = ""
    """No secret."""


@pytest.mark.covers("OPS-06")
@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n"])
def test_a_secret_is_read_from_a_file_without_its_final_newline(tmp_path, content):
    file = tmp_path / "secret"
    file.write_bytes(content)

    assert load_settings(Settings, {"THE_TOKEN_FILE": str(file)}).token.get_secret_value() == "s3cret"


@pytest.mark.covers("OPS-06")
def test_a_variable_and_its_file_together_are_refused(tmp_path):
    with pytest.raises(InvalidSettings) as refusal:
        load_settings(Settings, {"THE_TOKEN": "s3cret", "THE_TOKEN_FILE": str(tmp_path / "secret")})

    assert str(refusal.value) == "THE_TOKEN and THE_TOKEN_FILE are both set: unset one of them"


@pytest.mark.covers("OPS-06")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"s3cret\xff", "is not a file of text in UTF-8"),
        (b"s3cret" * 100_000, "is too long"),
    ],
)
def test_an_unusable_file_of_a_secret_is_one_line_without_its_content(tmp_path, content, reason):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidSettings) as refusal:
        load_settings(Settings, {"THE_TOKEN_FILE": str(file)})

    assert str(refusal.value) == f"THE_TOKEN_FILE: {file} {reason}"


@pytest.mark.covers("OPS-06")
@pytest.mark.parametrize("path", ["/", "~nobody-of-this-name/secret", "/dev/zero"])
def test_a_path_that_is_no_file_is_one_line(path):
    with pytest.raises(InvalidSettings, match=r"^THE_TOKEN_FILE: "):
        load_settings(Settings, {"THE_TOKEN_FILE": path})


@pytest.mark.covers("OPS-06")
def test_a_setting_that_is_no_secret_has_no_file(tmp_path):
    assert load_settings(Settings, {"NAME_FILE": str(tmp_path)}).name == ""


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:hunter2@h/n", "must begin with postgresql://"),
        ("postgresql:hunter2", "must begin with postgresql://"),
        ("postgresql://u:hunter2@h:99999/n", "must begin with postgresql://"),
        ("postgresql://u:hunter2@[::1/n", "must begin with postgresql://"),
        ("postgresql://u:hunter2@h/n?sslmode=perhaps", "must have an sslmode of disable, allow"),
        ("postgresql://u:hunter2@h/n?sslrootcert=/x", "must have no parameters but host, port and sslmode"),
        ("postgresql://u:hunter2@h/n?host=/run/postgresql&port=eighty", "must have a number as its port"),
    ],
)
def test_a_database_url_that_no_service_can_use_is_refused_without_its_password(url, reason):
    with pytest.raises(InvalidSettings, match=rf"^DATABASE_URL {reason}") as refusal:
        load_settings(DatabaseSettings, {"LISTEN": "unix:/x", "DATABASE_URL": url})

    assert "hunter2" not in str(refusal.value)


@pytest.mark.covers("OPS-03")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://u:p@h/n",
        "postgresql://u@/n?host=/run/postgresql",
        "postgresql://u:p@[::1]:5432/n?sslmode=require",
        "postgresql:///n?host=h&port=5433",
    ],
)
def test_a_database_url_of_libpq_is_accepted(url):
    given = load_settings(DatabaseSettings, {"LISTEN": "unix:/x", "DATABASE_URL": url})

    assert given.database_url.get_secret_value() == url


@pytest.mark.covers("OPS-03")
def test_a_directory_may_be_below_a_home_but_not_below_that_of_an_unknown_user(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of-mine")
    adapter = TypeAdapter(DirectoryPath)

    assert adapter.validate_python("~/plane") == Path("/home/of-mine/plane")
    assert adapter.validate_python("plane") == Path("plane")
    with pytest.raises(ValueError, match="must be the path of a directory"):
        adapter.validate_python("~nobody-of-this-name/plane")
