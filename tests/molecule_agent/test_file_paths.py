import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_agent.file_paths import InvalidPath, build_disposition, make_safe_name, split_path

UNDER = "path must be under /configs, /workspace, /home, or /plugins"
PATH_CHARACTERS = "/.abworkspceonfighmlu\0\n"


@pytest.mark.covers("AGT-05")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "path query required"),
        ("workspace/a", "path must be absolute"),
        ("../a", "path must be absolute"),
        ("/", UNDER),
        ("/etc/passwd", UNDER),
        ("//workspace/a", UNDER),
        ("/workspaces/a", UNDER),
        ("/WORKSPACE/a", UNDER),
        ("/workspace", "invalid path"),
        ("/workspace/", "invalid path"),
        ("/workspace/..", "invalid path"),
        ("/workspace/../etc/passwd", "invalid path"),
        ("/workspace/a/../b", "invalid path"),
        ("/workspace/./a", "invalid path"),
        ("/workspace//a", "invalid path"),
        ("/workspace/a/", "invalid path"),
        ("/workspace/a\0", "invalid path"),
        ("/workspace/a\r\nb", "invalid path"),
        ("/workspace/" + "ä" * 2048, "invalid path"),
        ("/configs/.auth_token", "invalid path"),
        ("/configs/agent/.env", "invalid path"),
        ("/configs/a/.ssh/id", "invalid path"),
        ("/configs/.platform_inbound_secret", "invalid path"),
        ("/configs/.auth_token.12.new", "invalid path"),
    ],
)
def test_a_path_that_may_not_be_read_is_refused(path, text):
    with pytest.raises(InvalidPath, match=text):
        split_path(path)


@pytest.mark.covers("AGT-05")
@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/configs/config.yaml", ("configs", "config.yaml")),
        ("/workspace/.molecule/chat-uploads/1-a", ("workspace", ".molecule", "chat-uploads", "1-a")),
        ("/home/ä ö/..x", ("home", "ä ö", "..x")),
        ("/plugins/a", ("plugins", "a")),
    ],
)
def test_the_parts_of_a_path_are_what_is_opened(path, parts):
    assert split_path(path) == parts


@given(st.sampled_from(["", "/workspace/", "/configs/"]), st.text(st.sampled_from(PATH_CHARACTERS), max_size=40))
def test_no_accepted_path_has_a_part_that_leads_elsewhere(start, rest):
    try:
        parts = split_path(start + rest)
    except InvalidPath:
        return
    assert "/" + "/".join(parts) == posixpath.normpath(start + rest)
    assert not {"", ".", ".."} & set(parts)


@pytest.mark.covers("AGT-06")
@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("my report (1).tar.gz", "my_report_(1).tar.gz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        ("", "file"),
        ("a\0b\nc", "a_b_c"),
        ("übersicht-日本.csv", "übersicht-日本.csv"),
        ('a"b;c<d>.html', "a_b_c_d_.html"),
        ("-rf", "-rf"),
        ("a" * 300 + ".txt", "a" * 96 + ".txt"),
        ("a." + "x" * 300, "a." + "x" * 19),
    ],
)
def test_a_file_is_stored_under_a_safe_name(name, safe):
    assert make_safe_name(name) == safe


@given(st.text(max_size=300))
def test_every_name_becomes_one_that_every_file_system_takes(name):
    safe = make_safe_name(name)

    assert 0 < len(safe) <= 100
    assert len(safe.encode()) <= 200
    assert "/" not in safe
    assert "\\" not in safe
    assert not safe.startswith(".")
    assert safe.isprintable()


@pytest.mark.covers("AGT-05")
@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
        ("ä.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt"),
    ],
)
def test_special_characters_in_a_name_do_not_break_the_header(name, disposition):
    assert build_disposition(name) == disposition
