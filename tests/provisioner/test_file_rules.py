import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provisioner import file_rules
from services.provisioner.errors import FileTooLarge, InvalidDepth, InvalidPath, InvalidRoot, TooManyFiles
from services.provisioner.model import FileEntry, FileRoot


@pytest.mark.parametrize(
    ("text", "root"), [("", FileRoot.CONFIGS), ("/configs", FileRoot.CONFIGS), ("/plugins", FileRoot.PLUGINS)]
)
def test_a_root_is_one_of_four(text, root):
    assert file_rules.parse_root(text) is root


@pytest.mark.parametrize("text", ["configs", "/etc", "/", "/configs/", "/configs/../etc", "/CONFIGS"])
def test_no_other_root_is_read(text):
    with pytest.raises(InvalidRoot):
        file_rules.parse_root(text)


@pytest.mark.parametrize("path", ["a", "a/b.md", ".hidden", "größe/日本.txt", "a b", "...", "x" * 512])
def test_relative_paths_are_allowed(path):
    assert file_rules.parse_path(path) == tuple(path.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "a//b", "a/", "..", "../a", "a/../b", ".", "a/./b", "a\\b", "a\0b", "a\nb", "\x7f"),
        *("\u202e", "x" * 513, ".auth_token", ".platform_inbound_secret", "a/.auth_token", ".auth_token.new"),
        *(".molecule-kit", ".molecule-half-00", "\udcff"),
    ],
    ids=ascii,
)
def test_no_other_path_is_allowed(path):
    with pytest.raises(InvalidPath):
        file_rules.parse_path(path)


@given(st.text())
def test_an_allowed_path_has_only_names_of_its_own(text):
    try:
        names = file_rules.parse_path(text)
    except InvalidPath:
        return
    assert "/".join(names) == text
    assert all(name and name not in {".", ".."} and "/" not in name and "\0" not in name for name in names)


def test_a_list_may_begin_at_the_root():
    assert file_rules.parse_directory("") == ()
    assert file_rules.parse_directory("a/b") == ("a", "b")


@pytest.mark.parametrize("depth", [0, -1, 6, 1000])
def test_the_depth_is_limited(depth):
    with pytest.raises(InvalidDepth):
        file_rules.check_depth(depth)


def test_the_number_and_the_size_of_files_are_limited():
    with pytest.raises(TooManyFiles, match=r"too many files \(201\), max 200"):
        file_rules.check_files({str(number): "" for number in range(201)})
    with pytest.raises(FileTooLarge):
        file_rules.check_files({"one": "ä" * (file_rules.MAX_BYTES // 2), "two": "x"})
    assert file_rules.check_files({"a/b": "x"}) == {("a", "b"): "x"}


def test_a_template_is_listed_like_an_instance():
    files = {"a/b/c": "12", "a/d": "3", "e": "", ".auth_token": "x"}

    assert [entry.path for entry in file_rules.list_template(files, (), 1)] == ["a", "e"]
    assert file_rules.list_template(files, ("a",), 2) == [
        FileEntry(path="a/b", size=0, is_directory=True),
        FileEntry(path="a/b/c", size=2, is_directory=False),
        FileEntry(path="a/d", size=1, is_directory=False),
    ]
