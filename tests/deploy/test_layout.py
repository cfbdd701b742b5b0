"""The paths of a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import layout as layouts
from deploy.errors import StartError
from deploy.layout import MAX_SOCKET_PATH_BYTES, Layout, create_private_directory


def test_two_homes_share_no_path(tmp_path):
    first, second = Layout.for_home(tmp_path / "one"), Layout.for_home(tmp_path / "other")

    assert first.sockets != second.sockets
    assert first.database_sockets != second.database_sockets
    assert Layout.for_home(tmp_path / "one") == first


def test_socket_paths_fit_for_a_deep_home(tmp_path):
    layout = Layout.for_home(tmp_path / "/".join(["deep" * 20] * 5))

    assert len(os.fsencode(layout.socket("provisioner"))) <= MAX_SOCKET_PATH_BYTES
    assert len(os.fsencode(layout.database_sockets / ".s.PGSQL.5432.lock")) <= MAX_SOCKET_PATH_BYTES


def test_directories_with_keys_and_sockets_are_private(tmp_path):
    layout = Layout.for_home(tmp_path / "home")
    layout.prepare()
    layout.prepare()

    for directory in (layout.keys, layout.logs, layout.workspaces, layout.sockets):
        assert directory.stat().st_mode & 0o777 == 0o700
    layout.remove_socket_directories()
    assert not layout.sockets.exists()


@pytest.mark.covers("ENV-11")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_home_is_private_also_if_it_was_made_by_an_earlier_release(tmp_path, umask):
    before = os.umask(umask)
    try:
        home = tmp_path / "home"
        home.mkdir(mode=0o755)
        (home / "lock").touch(mode=0o600)
        (home / "notes").touch(mode=0o640)
        mode_of_file = (home / "notes").stat().st_mode
        for each in (home, tmp_path / "new"):
            Layout.for_home(each).prepare()
            Layout.for_home(each).remove_socket_directories()
    finally:
        os.umask(before)

    assert home.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (home / "notes").stat().st_mode == mode_of_file


@pytest.mark.covers("ENV-11")
def test_shared_directory_is_refused_as_a_home_and_keeps_its_mode(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)

    with pytest.raises(StartError, match="is a directory that users share"):
        Layout.for_home(shared).prepare()
    assert shared.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.covers("ENV-11")
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711])
def test_directory_of_other_programs_is_refused_as_a_home_and_keeps_its_mode(tmp_path, mode):
    system = tmp_path / "lib"
    (system / "other-program").mkdir(parents=True)
    system.chmod(mode)

    with pytest.raises(StartError, match="holds other files, and other users may enter it"):
        Layout.for_home(system).prepare()
    assert system.stat().st_mode & 0o7777 == mode


@pytest.mark.covers("ENV-11")
@pytest.mark.parametrize(("mode", "file"), [(0o700, "notes"), (0o755, "lock"), (0o755, "lost+found"), (0o755, "keys")])
def test_directory_of_the_plane_alone_is_taken_as_a_home(tmp_path, mode, file):
    home = tmp_path / "home"
    home.mkdir()
    (home / file).touch() if file in {"notes", "lock"} else (home / file).mkdir()
    home.chmod(mode)

    layout = Layout.for_home(home)
    layout.prepare()
    layout.remove_socket_directories()
    assert home.stat().st_mode & 0o7777 == 0o700


def test_home_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "home").write_text("not a directory")

    with pytest.raises(StartError, match=r"the home .* cannot be used: .*; set MOLECULE_HOME"):
        Layout.for_home(tmp_path / "home").prepare()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
def test_home_of_another_user_is_refused_in_one_line(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = (
        "from pathlib import Path; from deploy.layout import Layout; from deploy.errors import StartError\n"
        f"try: Layout.for_home(Path({str(closed)!r})).prepare()\n"
        "except StartError as error: print(error)"
    )
    root = Path(layouts.__file__).parents[1]

    completed = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.stdout.endswith(
        "cannot be used: Permission denied; set MOLECULE_HOME to one of your directories\n"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_socket_directory_of_another_user_is_refused(tmp_path):
    directory = tmp_path / "sockets"
    directory.mkdir()
    os.chown(directory, 65534, 65534)

    with pytest.raises(StartError, match="belongs to another user"):
        create_private_directory(directory, owner=os.getuid())


def test_link_in_place_of_the_socket_directory_is_refused(tmp_path):
    (tmp_path / "sockets").symlink_to(tmp_path)

    with pytest.raises(StartError, match="belongs to another user"):
        create_private_directory(tmp_path / "sockets", owner=os.getuid())
