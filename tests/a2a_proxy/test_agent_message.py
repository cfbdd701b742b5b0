"""The pure rules of messages of agents to people."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy import agent_message as module
from services.a2a_proxy.agent_message import AgentMessage, Attachment, build_broadcast, build_row, check_message
from services.a2a_proxy.errors import InvalidAgentMessage
from services.a2a_proxy.model import WorkspaceId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
W = WorkspaceId(str(uuid4()))
REPORT = Attachment(uri="workspace:/workspace/report.pdf", name="report.pdf", mime_type="application/pdf", size=1024)
BARE = Attachment(uri="https://example.org/a", name="a")
MESSAGE = AgentMessage(workspace_id=W, text="Ready\nto read", attachments=(REPORT, BARE))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
attachments = st.builds(
    Attachment, uri=texts, name=texts, mime_type=st.none() | texts, size=st.none() | st.integers(-2, 2**53)
)


def refusal_of(**fields):
    with pytest.raises(InvalidAgentMessage) as refusal:
        check_message(replace(MESSAGE, **fields))
    return refusal.value.message


@pytest.mark.covers("ACT-07", "ACT-08")
def test_a_message_is_broadcast_with_its_attachments_to_its_own_audience_alone():
    broadcast = build_broadcast(MESSAGE, "writer", NOW)

    assert (broadcast.event_type, broadcast.workspace_id, broadcast.at) == ("AGENT_MESSAGE", W, NOW)
    assert broadcast.announced_payload is None
    assert json.loads(broadcast.payload) == {
        "message": "Ready\nto read",
        "name": "writer",
        "workspace_id": W,
        "attachments": [
            {"uri": REPORT.uri, "name": "report.pdf", "mimeType": "application/pdf", "size": 1024},
            {"uri": BARE.uri, "name": "a"},
        ],
    }
    assert "attachments" not in json.loads(build_broadcast(replace(MESSAGE, attachments=()), "writer", NOW).payload)


@pytest.mark.covers("ACT-07", "ACT-08")
def test_a_message_is_kept_as_a_row_without_a_source_from_which_text_and_files_can_be_read():
    row = build_row(MESSAGE, row_id="row", at=NOW)

    assert (row.id, row.workspace_id, row.activity_type, row.method) == ("row", W, "a2a_receive", "notify")
    assert (row.source_id, row.target_id, row.duration_ms, row.request_body) == (None, None, None, None)
    assert (row.status, row.summary, row.created_at) == ("ok", "Agent message: Ready\nto read", NOW)
    assert json.loads(row.response_body) == {
        "result": "Ready\nto read",
        "parts": [
            {
                "kind": "file",
                "file": {"uri": REPORT.uri, "name": "report.pdf", "mimeType": "application/pdf", "size": 1024},
            },
            {"kind": "file", "file": {"uri": BARE.uri, "name": "a"}},
        ],
    }
    assert json.loads(build_row(replace(MESSAGE, attachments=()), row_id="row", at=NOW).response_body) == {
        "result": "Ready\nto read"
    }


@pytest.mark.parametrize(("length", "ending"), [(200, "x"), (201, "...")])
def test_the_summary_shows_the_beginning_of_a_long_message(length, ending):
    summary = build_row(replace(MESSAGE, text="x" * length), row_id="row", at=NOW).summary

    assert summary == "Agent message: " + "x" * 200 + ending.replace("x", "")


@pytest.mark.covers("ACT-08")
@pytest.mark.parametrize(("uri", "name"), [("", "a"), ("u", ""), ("", "")])
def test_an_attachment_without_uri_or_name_is_named_by_its_index(uri, name):
    broken = Attachment(uri=uri, name=name)

    assert refusal_of(attachments=(broken,)) == "attachment[0]: uri and name are required"
    assert refusal_of(attachments=(REPORT, BARE, broken)) == "attachment[2]: uri and name are required"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": ""}, "message is required"),
        ({"text": "a\0"}, "message is required"),
        ({"text": "é" * 50_000 + "x"}, "message must be <= 100000 bytes"),
        ({"attachments": (BARE,) * 21}, "at most 20 attachments"),
        ({"attachments": (replace(BARE, uri="u" * 2049),)}, "attachment[0]: uri must be <= 2048 bytes"),
        ({"attachments": (replace(BARE, name="n" * 256),)}, "attachment[0]: name must be <= 255 bytes"),
        ({"attachments": (replace(BARE, mime_type="m" * 256),)}, "attachment[0]: mimeType must be <= 255 bytes"),
        ({"attachments": (replace(BARE, size=-1),)}, "attachment[0]: size must be 0-9007199254740991"),
        ({"attachments": (replace(BARE, size=2**53),)}, "attachment[0]: size must be 0-9007199254740991"),
    ],
)
def test_an_invalid_message_is_refused_with_what_is_wrong(fields, message):
    assert refusal_of(**fields) == message


def test_a_message_at_every_limit_is_accepted():
    largest = Attachment(uri="u" * 2048, name="n" * 255, mime_type="m" * 255, size=2**53 - 1)

    check_message(AgentMessage(workspace_id=W, text="é" * 50_000, attachments=(largest,) * 20))
    check_message(AgentMessage(workspace_id=W, text="x", attachments=(replace(BARE, mime_type="", size=0),)))


@given(texts, st.lists(attachments, max_size=3))
def test_every_accepted_message_is_one_line_of_json_and_its_row_can_be_stored(text, files):
    message = AgentMessage(workspace_id=W, text=text, attachments=tuple(files))
    try:
        check_message(message)
    except InvalidAgentMessage:
        assert not text or "\0" in text or any(module._find_fault(file) for file in files)
        return
    broadcast, row = build_broadcast(message, "w", NOW), build_row(message, row_id="row", at=NOW)

    assert b"\n" not in broadcast.payload
    assert json.loads(broadcast.payload)["message"] == json.loads(row.response_body)["result"] == text
    assert "\0" not in row.response_body + row.summary
    assert [part["file"] for part in json.loads(row.response_body).get("parts", [])] == json.loads(
        broadcast.payload
    ).get("attachments", [])
