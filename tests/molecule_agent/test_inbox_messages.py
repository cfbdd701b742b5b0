"""Fetched messages of both generations of A2A are read, and answered in their own generation."""

from datetime import UTC, datetime

import pytest

from molecule_agent.inbox.messages import FAILURE_TEXT, Item, build_completed, build_ended, read_items, read_turn

NOW = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)

LEGACY_PARTS = [
    {"kind": "text", "text": "one"},
    {"kind": "file", "file": {"bytes": "AAA=", "name": "a.bin", "mimeType": "application/x"}},
    {"kind": "file", "file": {"uri": "https://example.org/b"}},
    {"kind": "data", "data": {"n": 1}, "metadata": {"m": 2}},
    {"kind": "text", "text": "two"},
]

CURRENT_PARTS = [
    {"text": "one"},
    {"raw": "AAA=", "filename": "a.bin", "mediaType": "application/x"},
    {"url": "https://example.org/b"},
    {"data": {"n": 1}, "metadata": {"m": 2}},
    {"text": "two"},
]


def build_item(method="message/send", **message):
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"message": message}}
    return Item(id="q-1", receipt="1", request=request)


@pytest.mark.covers("BEY-11")
@pytest.mark.parametrize(
    ("method", "parts"),
    [("message/send", LEGACY_PARTS), ("SendMessage", CURRENT_PARTS), ("SendStreamingMessage", CURRENT_PARTS)],
)
def test_a_turn_has_the_parts_in_the_form_of_the_current_generation(method, parts):
    turn = read_turn(build_item(method, messageId="m-1", contextId="c-1", parts=parts, metadata={"k": "v"}))

    assert turn is not None
    assert (turn.text, turn.parts) == ("one\ntwo", CURRENT_PARTS)
    assert (turn.message_id, turn.context_id, turn.task_id, turn.metadata) == ("m-1", "c-1", "q-1", {"k": "v"})


@pytest.mark.covers("BEY-11")
def test_a_message_without_ids_gets_the_same_ones_whenever_it_is_read():
    turn, again = (read_turn(build_item(parts=[{"kind": "text", "text": "one"}])) for _ in range(2))

    assert turn == again
    assert turn is not None
    assert turn.message_id == "q-1"
    assert turn.context_id


@pytest.mark.covers("BEY-11")
@pytest.mark.parametrize("params", [None, [], {}, {"message": 1}, {"message": {}}, {"message": {"parts": "text"}}])
def test_a_request_without_a_message_makes_no_turn(params):
    assert read_turn(Item(id="q-1", receipt="1", request={"method": "tasks/get", "params": params})) is None


@pytest.mark.covers("BEY-11")
@pytest.mark.parametrize("found", [None, {}, [None, 1, {}, {"id": "q", "receipt": 1, "message": {}}, {"id": ""}]])
def test_what_is_no_item_is_left_out(found):
    assert read_items(found) == []


@pytest.mark.covers("BEY-11")
def test_an_answer_is_a_task_of_the_generation_of_its_request():
    legacy, current = build_item(parts=LEGACY_PARTS), build_item("SendMessage", parts=CURRENT_PARTS)
    turns = read_turn(legacy), read_turn(current)

    first = build_completed(legacy, turns[0], "done", now=NOW).to_dict()["result"]
    second = build_completed(current, turns[1], "done", now=NOW).to_dict()["result"]["task"]
    asked = build_ended(legacy, turns[0], "input-required", "Which one?", now=NOW).to_dict()["result"]
    failed = build_ended(current, turns[1], "failed", FAILURE_TEXT, now=NOW).to_dict()["result"]["task"]
    question = build_ended(current, turns[1], "input-required", "Which one?", now=NOW).to_dict()["result"]["task"]

    assert (first["kind"], first["id"], first["status"]) == (
        "task",
        "q-1",
        {"state": "completed", "timestamp": "2026-05-01T08:30:00.000Z"},
    )
    assert first["artifacts"][0]["parts"] == [{"kind": "text", "text": "done"}]
    assert (second["status"]["state"], second["artifacts"][0]["parts"]) == ("TASK_STATE_COMPLETED", [{"text": "done"}])
    assert (failed["status"]["state"], failed["status"]["message"]["role"]) == ("TASK_STATE_FAILED", "ROLE_AGENT")
    assert (asked["status"]["state"], question["status"]["state"]) == ("input-required", "TASK_STATE_INPUT_REQUIRED")
    assert asked["status"]["message"]["parts"] == [{"kind": "text", "text": "Which one?"}]
    assert build_completed(legacy, turns[0], "", now=NOW).to_dict()["result"].get("artifacts") is None
