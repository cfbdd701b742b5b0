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
    return {str(path.relative_to(configs)): path.read_bytes().decode() for path in configs.rglob("*") if path.is_file()}


def test_an_empty_directory_gets_every_file_for_its_owner_only(configs):
    furnishing.fill(configs, FILES)

    assert told(configs) == dict(FILES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in configs.rglob("*") if path.is_file()} == {0o600}


def test_what_an_agent_changed_stays(configs):
    furnishing.fill(configs, FILES)
    (configs / "config.yaml").write_text("name: mine")
    (configs / "prompts" / "tone.md").unlink()

    furnishing.fill(configs, FILES)

    assert told(configs) == {"config.yaml": "name: mine", "a/b/c.txt": "deep"}


@pytest.mark.covers("PROV-18")
def test_without_a_config_what_is_missing_is_filled_in(configs):
    (configs / ".auth_token").write_text("token")
    (configs / "prompts").mkdir()
    (configs / "prompts" / "tone.md").write_text("mine")

    furnishing.fill(configs, FILES)

    assert told(configs) == {**dict(FILES), "prompts/tone.md": "mine", ".auth_token": "token"}


def test_a_filling_that_stopped_half_way_is_completed(configs):
    furnishing.fill(configs, FILES)
    (configs / "config.yaml").unlink()
    (configs / "a" / "b" / "c.txt").unlink()
    (configs / "a" / "b" / ".molecule-half").write_text("ha")

    furnishing.fill(configs, FILES)

    assert told(configs) == dict(FILES)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", ".", "a//b", "a\0b"])
def test_a_path_that_leads_elsewhere_writes_nothing_at_all(configs, path):
    with pytest.raises(StartFailed):
        furnishing.fill(configs, (("fine.md", "x"), (path, "x")))

    assert told(configs) == {}


def test_a_link_that_an_agent_left_is_not_followed(configs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (configs / "prompts").symlink_to(outside)

    with pytest.raises(OSError, match=r"."):
        furnishing.fill(configs, FILES)

    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_a_file_is_left_alone(configs, tmp_path):
    target = tmp_path / "target"
    (configs / "config.yaml").symlink_to(target)

    furnishing.fill(configs, FILES)

    assert not target.exists()
