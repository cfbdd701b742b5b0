"""The starter files of an instance, also in a directory that an agent has changed."""

import stat

import pytest

from services.provisioner.backends import config_files
from services.provisioner.errors import StartFailed

FILES = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm\r\n"), ("a/b/c.txt", "deep"))


@pytest.fixture
def configs(tmp_path):
    directory = tmp_path / "configs"
    directory.mkdir()
    return directory


def read_all(configs):
    found = (path for path in configs.rglob("*") if path.is_file() and path.name != config_files.DIGEST_FILE)
    return {str(path.relative_to(configs)): path.read_bytes().decode() for path in found}


def write(configs, files, digest="one"):
    config_files.write_config_files(configs, files, digest=digest)


def test_empty_directory_receives_every_file_readable_by_its_owner_only(configs):
    write(configs, FILES)

    assert read_all(configs) == dict(FILES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in configs.rglob("*") if path.is_file()} == {0o600}


def test_changes_by_an_agent_are_kept(configs):
    write(configs, FILES)
    (configs / "config.yaml").write_text("name: mine")
    (configs / "prompts" / "tone.md").unlink()

    write(configs, FILES)

    assert read_all(configs) == {"config.yaml": "name: mine", "a/b/c.txt": "deep"}


@pytest.mark.covers("PROV-18")
def test_missing_files_are_written_if_there_is_no_config(configs):
    (configs / ".auth_token").write_text("token")
    (configs / "prompts").mkdir()
    (configs / "prompts" / "tone.md").write_text("mine")

    write(configs, FILES)

    assert read_all(configs) == {**dict(FILES), "prompts/tone.md": "mine", ".auth_token": "token"}


def test_interrupted_write_is_completed(configs):
    write(configs, FILES)
    (configs / "config.yaml").unlink()
    (configs / "a" / "b" / "c.txt").unlink()
    (configs / "a" / "b" / ".molecule-half").write_text("ha")

    write(configs, FILES)

    assert read_all(configs) == dict(FILES)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a\0b"])
def test_path_outside_the_directory_writes_nothing(configs, path):
    with pytest.raises(StartFailed):
        write(configs, (("fine.md", "x"), (path, "x")))

    assert read_all(configs) == {}


def test_link_to_a_directory_is_not_followed(configs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (configs / "prompts").symlink_to(outside)

    with pytest.raises(OSError, match=r"."):
        write(configs, FILES)

    assert list(outside.iterdir()) == []


def test_link_in_place_of_a_file_is_not_followed(configs, tmp_path):
    target = tmp_path / "target"
    (configs / "config.yaml").symlink_to(target)

    write(configs, FILES)

    assert not target.exists()


# Another digest ───────────────────────────────────────────────────────────────

OTHER = (("config.yaml", "name: bob"), ("prompts/tone.md", "cool"))


def test_files_with_another_digest_overwrite_files_of_the_same_name_only(configs):
    write(configs, FILES)
    (configs / "config.yaml").write_text("name: mine")
    (configs / "notes.md").write_text("mine")

    write(configs, OTHER, digest="two")

    assert read_all(configs) == {**dict(OTHER), "a/b/c.txt": "deep", "notes.md": "mine"}


def test_files_with_another_digest_are_written_once(configs):
    write(configs, FILES)
    write(configs, OTHER, digest="two")
    (configs / "config.yaml").write_text("name: mine")

    write(configs, OTHER, digest="two")

    assert read_all(configs)["config.yaml"] == "name: mine"


def test_files_replace_the_config_of_a_workspace_that_started_without_files(configs):
    write(configs, (), digest="")
    (configs / "config.yaml").write_text("name: mine")

    write(configs, FILES)

    assert read_all(configs) == dict(FILES)


def test_files_without_a_recorded_digest_are_kept(configs):
    (configs / "config.yaml").write_text("name: theirs")

    write(configs, FILES)
    write(configs, FILES)

    assert read_all(configs) == {"config.yaml": "name: theirs"}


def test_interrupted_write_of_another_digest_is_completed(configs):
    write(configs, FILES)
    (configs / "prompts" / "tone.md").unlink()
    (configs / "prompts" / "tone.md").mkdir()
    with pytest.raises(OSError, match=r"."):
        write(configs, (("z.md", "z"), *OTHER), digest="two")
    (configs / "prompts" / "tone.md").rmdir()

    write(configs, (("z.md", "z"), *OTHER), digest="two")

    assert read_all(configs) == {**dict(OTHER), "z.md": "z", "a/b/c.txt": "deep"}


@pytest.mark.parametrize("replacement", ["link", "directory", "junk"])
def test_digest_file_that_an_agent_replaced_breaks_nothing(configs, tmp_path, replacement):
    write(configs, FILES)
    path = configs / config_files.DIGEST_FILE
    path.unlink()
    match replacement:
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "directory":
            path.mkdir()
        case _:
            path.write_bytes(b"\xff" * 1000)

    if replacement == "directory":
        with pytest.raises(OSError, match=r"."):
            write(configs, FILES)
    else:
        write(configs, FILES)

    assert read_all(configs) == dict(FILES)
    assert not (tmp_path / "elsewhere").exists()
