import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli import answer_text


def parts(*texts: str, **more) -> dict:
    return {"parts": [{"kind": "text", "text": text} for text in texts], **more}


@pytest.mark.parametrize(
    "result",
    [
        {"kind": "message", **parts("a", "b")},
        {"message": {"parts": [{"text": "ab"}]}},
        {"kind": "task", "artifacts": [parts("ab")]},
        {"task": {"artifacts": [{"parts": [{"text": "a"}, {"data": {}}, {"text": "b"}]}]}},
        {"kind": "task", "status": {"state": "input-required", "message": parts("ab")}},
    ],
)
def test_the_text_of_a_reply_is_found_in_every_version_of_a2a(result):
    assert answer_text.extract_answer(result) == "ab"


@pytest.mark.parametrize("result", [{}, {"kind": "task", "artifacts": None, "status": None}, {"parts": None}])
def test_a_reply_without_text_is_empty(result):
    assert answer_text.extract_answer(result) == ""


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"kind": "artifact-update", "artifact": parts("x")}, "x"),
        ({"artifactUpdate": {"artifact": {"parts": [{"text": "x"}]}}}, "x"),
        ({"kind": "message", **parts("x")}, "x"),
        ({"message": {"parts": [{"text": "x"}]}}, "x"),
        ({"kind": "status-update", "status": {"message": parts("thinking")}}, ""),
        ({"kind": "task", "artifacts": []}, ""),
        ({"statusUpdate": {}}, ""),
    ],
)
def test_only_events_of_the_reply_have_a_text(event, text):
    assert answer_text.extract_event(event) == text


names = st.sampled_from(
    ["task", "message", "artifacts", "parts", "text", "status", "kind", "artifactUpdate", "artifact"]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["task", "message", "artifact-update"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.covers("TXT-06")
@given(st.dictionaries(names, any_json, max_size=4))
def test_every_answer_that_an_agent_may_send_has_a_text(result):
    assert isinstance(answer_text.extract_answer(result), str)
    assert isinstance(answer_text.extract_event(result), str)
