"""The files that a first instance finds, also where an agent has been at work."""

import stat

import pytest

from services.provisioner.backends import furnishing
from services.provisioner.errors import StartFailed

FILES = (("config.yaml", "name: ada"), ("prompts/tone.md", "warm\r\n"), ("a/b/c.txt", "deep"))


@pytest.fixture
def configs(tmp_path):
    place = tmp_path / "configs"
    place.mkdir()
    return place


def told(configs):
    found = (path for path in configs.rglob("*") if path.is_file() and path.name != furnishing.KIT)
    return {str(path.relative_to(configs)): path.read_bytes().decode() for path in found}


def fill(configs, files, kit="one"):
    furnishing.fill(configs, files, kit=kit)


def test_an_empty_directory_gets_every_file_for_its_owner_only(configs):
    fill(configs, FILES)

    assert told(configs) == dict(FILES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in configs.rglob("*") if path.is_file()} == {0o600}


def test_what_an_agent_changed_stays(configs):
    fill(configs, FILES)
    (configs / "config.yaml").write_text("name: mine")
    (configs / "prompts" / "tone.md").unlink()

    fill(configs, FILES)

    assert told(configs) == {"config.yaml": "name: mine", "a/b/c.txt": "deep"}


@pytest.mark.covers("PROV-18")
def test_without_a_config_what_is_missing_is_filled_in(configs):
    (configs / ".auth_token").write_text("token")
    (configs / "prompts").mkdir()
    (configs / "prompts" / "tone.md").write_text("mine")

    fill(configs, FILES)

    assert told(configs) == {**dict(FILES), "prompts/tone.md": "mine", ".auth_token": "token"}


def test_a_filling_that_stopped_half_way_is_completed(configs):
    fill(configs, FILES)
    (configs / "config.yaml").unlink()
    (configs / "a" / "b" / "c.txt").unlink()
    (configs / "a" / "b" / ".molecule-half").write_text("ha")

    fill(configs, FILES)

    assert told(configs) == dict(FILES)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a\0b"])
def test_a_path_that_leads_elsewhere_writes_nothing_at_all(configs, path):
    with pytest.raises(StartFailed):
        fill(configs, (("fine.md", "x"), (path, "x")))

    assert told(configs) == {}


def test_a_link_that_an_agent_left_is_not_followed(configs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (configs / "prompts").symlink_to(outside)

    with pytest.raises(OSError, match=r"."):
        fill(configs, FILES)

    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_a_file_is_left_alone(configs, tmp_path):
    target = tmp_path / "target"
    (configs / "config.yaml").symlink_to(target)

    fill(configs, FILES)

    assert not target.exists()


# Another kit ─────────────────────────────────────────────────────────────────

OTHER = (("config.yaml", "name: bob"), ("prompts/tone.md", "cool"))


def test_another_kit_is_put_over_what_is_there_and_what_has_other_names_stays(configs):
    fill(configs, FILES)
    (configs / "config.yaml").write_text("name: mine")
    (configs / "notes.md").write_text("mine")

    fill(configs, OTHER, kit="two")

    assert told(configs) == {**dict(OTHER), "a/b/c.txt": "deep", "notes.md": "mine"}


def test_another_kit_is_put_there_once(configs):
    fill(configs, FILES)
    fill(configs, OTHER, kit="two")
    (configs / "config.yaml").write_text("name: mine")

    fill(configs, OTHER, kit="two")

    assert told(configs)["config.yaml"] == "name: mine"


def test_a_kit_comes_where_there_was_none(configs):
    fill(configs, (), kit="")
    (configs / "config.yaml").write_text("name: mine")

    fill(configs, FILES)

    assert told(configs) == dict(FILES)


def test_what_was_there_before_the_plane_came_is_kept(configs):
    (configs / "config.yaml").write_text("name: theirs")

    fill(configs, FILES)
    fill(configs, FILES)

    assert told(configs) == {"config.yaml": "name: theirs"}


def test_another_kit_that_was_put_there_half_is_completed(configs):
    fill(configs, FILES)
    (configs / "prompts" / "tone.md").unlink()
    (configs / "prompts" / "tone.md").mkdir()
    with pytest.raises(OSError, match=r"."):
        fill(configs, (("z.md", "z"), *OTHER), kit="two")
    (configs / "prompts" / "tone.md").rmdir()

    fill(configs, (("z.md", "z"), *OTHER), kit="two")

    assert told(configs) == {**dict(OTHER), "z.md": "z", "a/b/c.txt": "deep"}


@pytest.mark.parametrize("put", ["link", "directory", "junk"])
def test_an_agent_that_tampers_with_the_name_of_the_kit_breaks_nothing(configs, tmp_path, put):
    fill(configs, FILES)
    place = configs / furnishing.KIT
    place.unlink()
    match put:
        case "link":
            place.symlink_to(tmp_path / "elsewhere")
        case "directory":
            place.mkdir()
        case _:
            place.write_bytes(b"\xff" * 1000)

    if put == "directory":
        with pytest.raises(OSError, match=r"."):
            fill(configs, FILES)
    else:
        fill(configs, FILES)

    assert told(configs) == dict(FILES)
    assert not (tmp_path / "elsewhere").exists()
