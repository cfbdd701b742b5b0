import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import layout as layouts
from deploy.errors import StartError
from deploy.layout import MAX_SOCKET_PATH_BYTES, Layout, create_private_directory


def test_two_homes_share_nothing(tmp_path):
    one, other = Layout.of(tmp_path / "one"), Layout.of(tmp_path / "other")

    assert one.sockets != other.sockets
    assert one.database_sockets != other.database_sockets
    assert Layout.of(tmp_path / "one") == one


def test_the_longest_socket_path_fits_however_deep_the_home(tmp_path):
    layout = Layout.of(tmp_path / "/".join(["deep" * 20] * 5))

    assert len(os.fsencode(layout.socket("provisioner"))) <= MAX_SOCKET_PATH_BYTES
    assert len(os.fsencode(layout.database_sockets / ".s.PGSQL.5432.lock")) <= MAX_SOCKET_PATH_BYTES


def test_what_holds_keys_and_sockets_is_for_us_alone(tmp_path):
    layout = Layout.of(tmp_path / "home")
    layout.prepare()
    layout.prepare()

    for directory in (layout.keys, layout.logs, layout.workspaces, layout.sockets):
        assert directory.stat().st_mode & 0o777 == 0o700
    layout.remove_socket_directories()
    assert not layout.sockets.exists()


def test_a_home_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "home").write_text("not a directory")

    with pytest.raises(StartError, match=r"the home .* cannot be used: .*; set MOLECULE_HOME"):
        Layout.of(tmp_path / "home").prepare()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as somebody else")
def test_a_home_of_somebody_else_is_refused_in_one_line(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = (
        "from pathlib import Path; from deploy.layout import Layout; from deploy.errors import CannotStart\n"
        f"try: Layout.of(Path({str(closed)!r})).prepare()\n"
        "except CannotStart as error: print(error)"
    )
    root = Path(layouts.__file__).parents[1]

    said = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.endswith("cannot be used: Permission denied; set MOLECULE_HOME to one of your directories\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_socket_directory_of_somebody_else_is_refused(tmp_path):
    directory = tmp_path / "sockets"
    directory.mkdir()
    os.chown(directory, 65534, 65534)

    with pytest.raises(StartError, match="belongs to somebody else"):
        create_private_directory(directory, owner=os.getuid())


def test_a_link_in_place_of_the_socket_directory_is_refused(tmp_path):
    (tmp_path / "sockets").symlink_to(tmp_path)

    with pytest.raises(StartError, match="belongs to somebody else"):
        create_private_directory(tmp_path / "sockets", owner=os.getuid())
