import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.errors.templates import FilesTooLarge, InvalidPath, TooManyFiles
from services.registry.workspace import starter_files
from services.registry.workspace.model import Brief, Schedule
from services.registry.workspace.starter_files import StarterFiles

texts = st.text(max_size=20)
briefs = st.builds(
    Brief,
    initial_prompt=texts,
    idle_prompt=texts,
    schedules=st.lists(
        st.builds(Schedule, name=texts, cron_expr=texts, prompt=texts, timezone=texts, enabled=st.booleans())
    ).map(tuple),
    plugins=st.lists(texts).map(tuple),
)


@given(briefs)
def test_a_brief_survives_serialization(brief):
    assert starter_files.parse_brief(starter_files.serialize_brief(brief)) == brief


@given(st.dictionaries(st.text("ab/.", min_size=1, max_size=8), texts, max_size=6))
def test_an_accepted_path_stays_below_the_root(files):
    try:
        starter_files.validate_files(files)
    except InvalidPath:
        return
    for path in files:
        assert not path.startswith("/")
        assert ".." not in path.split("/")


@given(st.dictionaries(texts, texts, max_size=4))
def test_equal_files_have_one_digest_in_any_order(files):
    turned = dict(reversed(files.items()))

    assert StarterFiles(files=files).digest == StarterFiles(files=turned).digest
    assert (StarterFiles(files=files).digest == "") == (not files)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a/./b",
        "a/",
        "a\\b",
        "a\nb",
        "a\x00b",
        "x" * 256,
        ".auth_token",
        ".platform_inbound_secret",
        "a/" * 300 + "b",
    ],
)
def test_a_path_that_leaves_the_directory_is_refused(path):
    with pytest.raises(InvalidPath):
        starter_files.validate_files({path: ""})


def test_a_path_cannot_be_both_file_and_folder():
    with pytest.raises(InvalidPath):
        starter_files.validate_files({"a": "", "a/b": ""})


def test_too_many_or_too_large_files_are_refused():
    many = {f"file-{number}": "" for number in range(starter_files.MAX_FILES)}

    assert starter_files.validate_files(many) == many
    with pytest.raises(TooManyFiles, match=r"too many files \(201\), max 200"):
        starter_files.validate_files({**many, "one-more": ""})
    with pytest.raises(FilesTooLarge):
        starter_files.validate_files({"large": "x" * (starter_files.MAX_TOTAL_BYTES + 1)})


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (starter_files.MAX_FILES, 200),
        (starter_files.MAX_TOTAL_BYTES, 8 * 1024 * 1024),
        (starter_files.MAX_PATH_BYTES, 512),
        (starter_files.MAX_PATH_PART_BYTES, 255),
        (starter_files.RESERVED_PATHS, {".auth_token", ".platform_inbound_secret", ".molecule-kit"}),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


LONG_FOLDERS = "/".join(["a" * 127] * 4)
"""A path of 511 bytes."""


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b",
        ".hidden",
        "...",
        "..a/b..",
        "x" * 255,
        "é" * 127,
        LONG_FOLDERS + "b",
        "folder/.auth_token",
        ".auth_token.txt",
        "a b",
    ],
)
def test_a_relative_path_within_the_limits_is_allowed(path):
    files = {path: "text"}

    assert starter_files.validate_files(files) is files


@pytest.mark.parametrize(
    "path",
    [
        "x" * 256,
        "é" * 128,
        LONG_FOLDERS + "bc",
        "é" * 127 + "/" + "é" * 127 + "/" + "abc",
        "\ud800",
        ".molecule-kit",
        "..",
        ".",
        "a/..",
        "./a",
        "/",
        "\\",
        "a\\b",
        "\u2028",
    ],
)
def test_a_path_over_a_limit_or_with_a_special_part_is_refused(path):
    with pytest.raises(InvalidPath):
        starter_files.validate_files({"a/fine": "", path: ""})


@given(st.text(min_size=1, max_size=300))
def test_any_path_is_allowed_or_refused(path):
    try:
        starter_files.validate_files({path: ""})
    except InvalidPath:
        return
    assert path.isprintable()
    assert len(path.encode()) <= 512
    assert path not in starter_files.RESERVED_PATHS


def test_a_folder_of_any_depth_cannot_be_a_file():
    with pytest.raises(InvalidPath):
        starter_files.validate_files({"a/b/c": "", "a/b": ""})
    assert starter_files.validate_files({"a/b/c": "", "a/d": "", "e": ""})


def test_files_may_have_exactly_the_maximum_size_in_utf8():
    half = starter_files.MAX_TOTAL_BYTES // 2

    assert starter_files.validate_files({"one": "x" * half, "other": "é" * (half // 2)})
    with pytest.raises(FilesTooLarge) as refusal:
        starter_files.validate_files({"one": "x" * half, "other": "é" * (half // 2), "more": "x"})
    assert refusal.value.details == {"max_bytes": starter_files.MAX_TOTAL_BYTES}


def test_a_digest_is_stable_and_differs_for_different_files():
    assert StarterFiles().digest == ""
    assert StarterFiles(files={"b": "2", "a": "1"}).digest == hashlib.sha256(b'[["a", "1"], ["b", "2"]]').hexdigest()
    assert StarterFiles(files={"a": "1"}).digest != StarterFiles(files={"a": "2"}).digest


def test_a_default_brief_is_stored_as_nothing_and_another_as_compact_json():
    brief = Brief(initial_prompt="go", schedules=(Schedule(name="n", cron_expr="c", prompt="p"),), plugins=("x",))

    assert starter_files.serialize_brief(Brief()) == ""
    assert starter_files.parse_brief("") == Brief()
    assert starter_files.serialize_brief(brief) == (
        '{"initial_prompt":"go","idle_prompt":"","schedules":[{"name":"n","cron_expr":"c","prompt":"p",'
        '"timezone":"UTC","enabled":true}],"plugins":["x"]}'
    )
