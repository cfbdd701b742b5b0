"""`molecule chat` keeps one conversation; `molecule send` takes its text from anywhere."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from molecule_cli.dialect import Conversation, read_conversation
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, FakePlane, serve
from tests.molecule_cli.test_cli import error_line

STREAMING_CARD = {"capabilities": {"streaming": True}, "protocolVersion": "0.3.0"}


class ConversingPlane(FakePlane):
    """Its agents name the conversation; a message `ask` leaves its task open, and `refuse` is refused."""

    def reply(self, call: dict) -> Response:
        message = call["params"]["message"]
        text = message["parts"][0]["text"]
        if text == "refuse":
            return JSONResponse({"error": "teapot"}, 418)
        state = "input-required" if text == "ask" else "completed"
        task = {
            "kind": "task",
            "id": message.get("taskId", f"task-{len(self.sent)}"),
            "contextId": message.get("contextId", "context-1"),
            "status": {"state": state},
            "artifacts": [{"artifactId": "a", "parts": [{"kind": "text", "text": f"re: {text}"}]}],
        }
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "result": task})


@pytest.fixture
def plane():
    return ConversingPlane()


@pytest.fixture
def url(plane):
    with serve(plane) as url:
        yield url


def chat(url, lines, *arguments):
    return molecule("chat", "lead", *arguments, MOLECULE_URL=url, stdin="".join(f"{one}\n" for one in lines))


def list_messages(plane):
    return [call["params"]["message"] for _, call in plane.sent]


@pytest.mark.covers("TTY-21")
def test_each_line_is_a_message_of_the_same_conversation(plane, url):
    result = chat(url, ["one", "", "two", "/quit", "three"])

    assert result.stdout == "re: one\nre: two\n"
    assert [one.get("contextId") for one in list_messages(plane)] == [None, "context-1"]
    assert "molecule chat lead --context-id context-1 continues it" in result.stderr


@pytest.mark.covers("TTY-21")
def test_a_task_that_waits_for_input_gets_the_next_line_and_no_later_one(plane, url):
    chat(url, ["ask", "answer", "next"], "--context-id", "old")

    assert [(one["contextId"], one.get("taskId")) for one in list_messages(plane)] == [
        ("old", None),
        ("old", "task-1"),
        ("old", None),
    ]


@pytest.mark.covers("TTY-21")
def test_a_refusal_does_not_end_the_conversation_and_new_begins_another(plane, url):
    result = chat(url, ["one", "refuse", "two", "/new", "three"])

    assert result.returncode == 0
    assert result.stdout == "re: one\nre: two\nre: three\n"
    assert "molecule: teapot" in result.stderr
    assert [one.get("contextId") for one in list_messages(plane)] == [None, "context-1", "context-1", None]


class StreamingConversation(ConversingPlane):
    """Its agents stream, and name the conversation in the first event only."""

    def __init__(self) -> None:
        super().__init__()
        self.cards = {LEAD: STREAMING_CARD}

    async def answer(self, request: Request) -> Response:
        call = await request.json()
        self.sent.append((None, call))
        context = call["params"]["message"].get("contextId", "context-9")
        results = [
            {"kind": "task", "id": "t", "contextId": context, "status": {"state": "working"}},
            {"kind": "artifact-update", "taskId": "t", "artifact": {"parts": [{"kind": "text", "text": "he"}]}},
            {"kind": "artifact-update", "taskId": "t", "artifact": {"parts": [{"kind": "text", "text": "llo"}]}},
            {"kind": "status-update", "taskId": "t", "status": {"state": "completed"}, "final": True},
        ]
        frames = (f"data: {json.dumps({'jsonrpc': '2.0', 'id': 1, 'result': result})}\n\n" for result in results)
        return StreamingResponse(frames, media_type="text/event-stream")


@pytest.mark.covers("TTY-21")
def test_an_answer_that_streams_is_printed_as_one_text():
    plane = StreamingConversation()
    with serve(plane) as url:
        result = chat(url, ["one", "two"])

    assert result.stdout == "hello\nhello\n"
    assert [one.get("contextId") for one in list_messages(plane)] == [None, "context-9"]
    assert plane.sent[0][1]["method"] == "message/stream"


@pytest.mark.parametrize(
    ("result", "conversation"),
    [
        ({"contextId": "c", "id": "t", "status": {"state": "completed"}}, Conversation("c", "")),
        (
            {"task": {"contextId": "c", "id": "t", "status": {"state": "TASK_STATE_INPUT_REQUIRED"}}},
            Conversation("c", "t"),
        ),
        ({"message": {"contextId": "c", "messageId": "m"}}, Conversation("c", "")),
        ({"contextId": 5, "id": 5, "status": {"state": "input-required"}}, Conversation("", "")),
        (None, Conversation("", "")),
    ],
    ids=["completed", "1.0 waits", "message", "other types", "nothing"],
)
def test_the_conversation_is_read_from_both_versions(result, conversation):
    assert read_conversation(result) == conversation


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=["none", "dash"])
def test_a_text_comes_from_standard_input(plane, url, arguments):
    result = molecule("send", "lead", *arguments, MOLECULE_URL=url, stdin="two\nlines\n")

    assert result.stdout == "re: two\nlines\n"


def test_a_text_comes_from_a_file(plane, url, tmp_path):
    (tmp_path / "question.txt").write_text("from a file\n")

    assert molecule("send", "lead", "--file", str(tmp_path / "question.txt"), MOLECULE_URL=url).stdout == (
        "re: from a file\n"
    )


def test_a_text_that_is_missing_twice_or_no_text_is_refused(plane, url, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_bytes(b" \n")

    def send(*arguments):
        return error_line(molecule("send", "lead", *arguments, MOLECULE_URL=url))

    assert send("--file", str(tmp_path / "binary")).endswith("is not UTF-8 text")
    assert send("--file", str(tmp_path / "empty")).endswith("is empty: there is nothing to send")
    assert send("text", "--file", str(tmp_path / "empty")) == "give the text or --file, not both"
    assert plane.sent == []


@pytest.mark.covers("TTY-15")
def test_a_script_gets_the_id_of_the_task(plane, url):
    assert molecule("send", "lead", "one", "-o", "name", MOLECULE_URL=url).stdout == "task-1\n"


def test_a_message_can_continue_a_conversation(plane, url):
    molecule("send", "lead", "one", "--context-id", "c", MOLECULE_URL=url)

    assert list_messages(plane)[0]["contextId"] == "c"
