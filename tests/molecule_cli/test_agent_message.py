"""What the command line takes from an AGENT_MESSAGE, whose members may be anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molecule_cli.agent_message import AgentMessage, read_message

FILE = {"uri": "workspace:/r.pdf", "name": "r.pdf", "mimeType": "application/pdf", "size": 3}

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "attachments", "uri", "name"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.covers("ACT-15")
@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"message": "Ready"}, "Ready"),
        ({"message": "Ready", "attachments": []}, "Ready"),
        ({"message": "", "attachments": [FILE]}, "[r.pdf]"),
        ({"attachments": [FILE]}, "[r.pdf]"),
        ({"message": "Ready", "attachments": [FILE, {"uri": "u", "name": "b"}]}, "Ready [r.pdf, b]"),
        ({"message": "", "attachments": []}, None),
        ({}, None),
        ([], None),
        (None, None),
        ({"message": 1, "attachments": {"uri": "u", "name": "n"}}, None),
        ({"message": ["Ready"], "attachments": "r.pdf"}, None),
    ],
)
def test_an_event_is_dropped_only_if_it_has_neither_a_text_nor_a_file(payload, shown):
    message = read_message(payload)

    assert (None if message is None else str(message)) == shown


@pytest.mark.covers("ACT-15")
@pytest.mark.parametrize(
    "entry",
    [
        *(
            None,
            "r.pdf",
            1,
            [FILE],
            {},
            {"uri": "u"},
            {"name": "n"},
            {"uri": "", "name": "n"},
            {"uri": "u", "name": ""},
        ),
        *({"uri": 1, "name": "n"}, {"uri": "u", "name": None}, {"uri": ["u"], "name": "n"}, {"uri": "u", "name": {}}),
    ],
)
def test_a_malformed_attachment_is_left_out_and_the_others_are_not(entry):
    assert read_message({"message": "m", "attachments": [entry, FILE, entry]}) == AgentMessage("m", ("r.pdf",))
    assert read_message({"message": "", "attachments": [entry]}) is None
    assert read_message({"message": "m", "attachments": [entry]}) == AgentMessage("m", ())


@pytest.mark.covers("ACT-15")
@given(any_json)
def test_any_payload_is_read_without_an_error(payload):
    message = read_message(payload)

    assert message is None or message.text or message.files
    assert message is None or all(isinstance(text, str) and text for text in message.files)
