import pytest

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
