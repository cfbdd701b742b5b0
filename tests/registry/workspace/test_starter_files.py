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
