"""Files below a directory where an agent writes, too: whatever it makes there, nothing outside is read or written."""

import os
import resource
import socket
import threading

import pytest

from services.provisioner.backends import file_tree
from services.provisioner.errors import FileMissing, FileTooLarge, InvalidPath
from services.provisioner.file_rules import MAX_ENTRIES

SWAPS = 200


@pytest.fixture
def outside(tmp_path):
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text("secret")
    return directory


@pytest.fixture
def root(tmp_path):
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


def names(directory):
    return [path.name for path in directory.iterdir()]


def paths(root, *directory, depth=5):
    return [entry.path for entry in file_tree.list_entries(root, directory, depth)]


def test_links_are_neither_followed_nor_listed(root, outside):
    (root / "link").symlink_to(outside / "secret")
    (root / "directory").symlink_to(outside)
    (root / "plain").write_text("x")

    assert paths(root) == ["plain"]
    for path in (("link",), ("directory", "secret")):
        with pytest.raises(FileMissing):
            file_tree.read(root, path)
    for above in (("directory",), ("directory", "deep"), ("link",)):
        with pytest.raises(InvalidPath):
            file_tree.write(root, {(*above, "new"): "x"})
    with pytest.raises(FileMissing):
        file_tree.delete(root, ("directory", "secret"))
    assert names(outside) == ["secret"]


def test_a_link_with_the_name_of_a_file_is_replaced_or_deleted_and_not_followed(root, outside):
    (root / "one").symlink_to(outside / "secret")
    (root / "two").symlink_to(outside / "secret")

    file_tree.write(root, {("one",): "mine"})
    file_tree.delete(root, ("two",))

    assert (outside / "secret").read_text() == "secret"
    assert (root / "one").read_text() == "mine"
    assert not (root / "one").is_symlink()
    assert names(root) == ["one"]


def test_a_root_that_is_a_link_is_not_followed(tmp_path, outside):
    (tmp_path / "root").symlink_to(outside)

    with pytest.raises(FileMissing):
        file_tree.read(tmp_path / "root", ("secret",))
    with pytest.raises(FileMissing):
        file_tree.list_entries(tmp_path / "root", (), 1)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        file_tree.write(tmp_path / "root", {("new",): "x"})
    assert names(outside) == ["secret"]


def test_pipes_sockets_and_devices_are_not_opened(root, tmp_path, monkeypatch):
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(root)
        listening.bind("socket")
        listening.listen()

        assert paths(root) == []
        for name in ("pipe", "socket"):
            with pytest.raises(FileMissing):
                file_tree.read(root, (name,))


def test_a_write_over_a_pipe_does_not_wait_for_its_reader(root):
    os.mkfifo(root / "pipe")

    file_tree.write(root, {("pipe",): "text"})

    assert (root / "pipe").read_text() == "text"


def test_names_that_callers_may_not_name_are_not_listed(root):
    for name in (".auth_token", ".auth_token.new", ".molecule-half-1", "back\\slash", "new\nline", "kept"):
        (root / name).write_text("x")
    (root / os.fsdecode(b"\xff\xfe")).write_text("x")

    assert paths(root) == ["kept"]


def test_a_huge_directory_is_listed_in_part(root):
    for number in range(MAX_ENTRIES + 50):
        (root / f"{number:05}").touch()

    assert len(paths(root)) == MAX_ENTRIES


def test_a_deep_and_wide_tree_is_scanned_in_part(root, monkeypatch):
    monkeypatch.setattr(file_tree, "MAX_SCANNED", 40)
    for directory in range(10):
        (root / f"d{directory}").mkdir()
        for number in range(10):
            (root / f"d{directory}" / str(number)).touch()

    found = paths(root)

    assert found[0] == "d0"
    assert len(found) <= 40


def test_a_large_file_is_not_read(root):
    (root / "large").write_bytes(b"x" * 101)

    with pytest.raises(FileTooLarge):
        file_tree.read(root, ("large",), max_bytes=100)
    assert len(file_tree.read(root, ("large",), max_bytes=101)) == 101


def test_an_overwritten_file_keeps_its_permissions_and_a_new_one_is_private(root):
    (root / "tool").write_text("old")
    (root / "tool").chmod(0o755)

    file_tree.write(root, {("tool",): "new", ("a", "private"): "x"})

    assert (root / "tool").stat().st_mode & 0o777 == 0o755
    assert (root / "a" / "private").stat().st_mode & 0o777 == 0o600
    assert (root / "a").stat().st_mode & 0o777 == 0o700


def test_a_write_that_fails_leaves_the_old_file_and_no_other(root):
    (root / "one").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            file_tree.write(root, {("one",): "x" * 200_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (root / "one").read_text() == "old"
    assert names(root) == ["one"]


class Swapper:
    """An agent that swaps a directory for a link to another one, and back, as fast as it can."""

    def __init__(self, root, outside):
        self._root, self._outside = root, outside
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._swap)
        self.count = 0
        self._moved = 0

    def __enter__(self):
        (self._root / "real").mkdir()
        (self._root / "real" / "secret").write_text("harmless")
        (self._root / "link").symlink_to(self._outside)
        (self._root / "real").rename(self._root / "name")
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _swap(self):
        while not self._ends.is_set():
            self._move("name", "real")
            self._move("link", "name")
            self._move("name", "link")
            self._move("real", "name")
            self.count += 1

    def _move(self, source, target):
        """Rename, and move away a directory that the plane has made meanwhile under the name."""
        while True:
            try:
                return (self._root / source).rename(self._root / target)
            except OSError:
                self._moved += 1
                (self._root / target).rename(self._root / f"made-{self._moved}")


def test_an_agent_that_swaps_a_directory_for_a_link_gains_nothing(root, outside):
    contents, refusals = set(), 0
    with Swapper(root, outside) as agent:
        attempts = 0
        while attempts < SWAPS or (agent.count < SWAPS and attempts < 100 * SWAPS):
            attempts += 1
            try:
                contents.add(file_tree.read(root, ("name", "secret")))
            except FileMissing:
                refusals += 1
            try:
                file_tree.write(root, {("name", "written"): "x"})
                file_tree.delete(root, ("name", "written"))
            except (FileMissing, InvalidPath, FileNotFoundError):
                refusals += 1
            listed = [entry for entry in file_tree.list_entries(root, (), 2) if entry.path.endswith("/secret")]
            assert all(entry.size == len("harmless") for entry in listed)

    assert contents == {b"harmless"}
    assert names(outside) == ["secret"]
    assert refusals > 0
