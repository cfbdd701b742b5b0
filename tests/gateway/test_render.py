import json
from datetime import UTC, datetime

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_format
from gateway.schemas.activity import render_activity
from gateway.schemas.agents import render_peer
from gateway.schemas.events import render_event
from gateway.schemas.workspaces import render_listed_workspace, render_workspace
from protos.a2a_proxy.v1 import activity_pb2
from protos.registry.v1 import registry_pb2 as pb
from services.chassis import strict_json

WHEN = Timestamp(seconds=1777624200, nanos=123456000)

ALONE = [
    "id",
    "name",
    "role",
    "tier",
    "status",
    "status_reason",
    "status_detail",
    "status_since",
    "status_event_id",
    "restart_count",
    "last_exit",
    "runtime",
    "delivery_mode",
    "url",
    "agent_card",
    "card_signature",
    "agent_security",
    "parent_id",
    "active_tasks",
    "max_concurrent_tasks",
    "uptime_seconds",
    "last_error_rate",
    "current_task",
    "last_outbound_at",
    "hibernation_idle_minutes",
    "x",
    "y",
    "collapsed",
]
LISTED = [*ALONE, "last_sample_error", "workspace_dir", "budget_limit", "monthly_spend"]


def bare(**fields):
    return pb.Workspace(
        id="w",
        name="n",
        status=pb.WORKSPACE_STATUS_AWAITING_AGENT,
        delivery_mode=pb.DELIVERY_MODE_POLL,
        status_since=WHEN,
        **fields,
    )


def test_a_workspace_has_exactly_the_keys_of_the_contract():
    assert list(render_workspace(bare())) == ALONE
    assert list(render_listed_workspace(bare())) == LISTED


def test_absent_fields_of_a_workspace_are_null():
    shown = render_listed_workspace(bare())

    absent = [
        "role",
        "agent_card",
        "parent_id",
        "last_exit",
        "card_signature",
        "agent_security",
        "last_outbound_at",
        "hibernation_idle_minutes",
        "workspace_dir",
        "budget_limit",
    ]
    assert {name for name, value in shown.items() if value is None} == set(absent)
    assert (shown["url"], shown["status"], shown["delivery_mode"]) == ("", "awaiting_agent", "poll")


@pytest.mark.covers("DWN-10")
@pytest.mark.parametrize(("fields", "shown"), [({"code": 3}, {"code": 3}), ({"signal": 9}, {"signal": 9}), ({}, {})])
def test_the_last_exit_of_a_workspace_is_rendered(fields, shown):
    message = bare(restart_count=4, status_detail="why", last_exit=pb.InstanceExit(at=WHEN, text="how", **fields))
    workspace = render_workspace(message)

    assert (workspace["restart_count"], workspace["status_detail"]) == (4, "why")
    assert workspace["last_exit"] == {"at": workspace["status_since"], "text": "how", **shown}


def test_present_fields_of_a_workspace_are_rendered():
    shown = render_listed_workspace(
        bare(
            role="r",
            agent_card=b'{"name":"c"}',
            parent_id="p",
            last_outbound_at=WHEN,
            hibernation_idle_minutes=0,
            workspace_dir="/d",
            budget_limit=0,
            provision_timeout=Duration(seconds=1800),
        )
    )

    assert shown["agent_card"] == msgspec.Raw(b'{"name":"c"}')
    assert (shown["hibernation_idle_minutes"], shown["budget_limit"]) == (0, 0)
    assert shown["last_outbound_at"] == "2026-05-01T08:30:00.123456Z"
    assert shown["provision_timeout_ms"] == 1_800_000


def test_numbers_without_a_fraction_are_written_without_one():
    shown = render_workspace(bare(x=100.0, y=0.5, last_error_rate=0))

    assert b'"last_error_rate":0,' in json_format.encode_json(shown)
    assert json_format.encode_json([shown["x"], shown["y"]]) == b"[100,0.5]"


def test_answers_are_compact_and_plain():
    assert json_format.encode_json({"a": "é/ü", "b": [1, 2]}) == '{"a":"é/ü","b":[1,2]}'.encode()


def test_a_lone_surrogate_is_never_written():
    with pytest.raises(UnicodeEncodeError):
        json_format.encode_json({"a": "\ud83d"})


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize(
    "text",
    [
        b'{ "a" : 1.0, "b":[1E2, 123456789012345678901234567890.5, -0] }',
        b'{"a":1,"a":2}',
        '"\u2028\u0085"'.encode(),
        b"[" * 100 + b"]" * 100,
    ],
)
def test_a_stored_text_is_answered_as_it_is_stored(text):
    assert json_format.encode_json({"x": json_format.embed_stored(text)}) == b'{"x":' + text + b"}"


@pytest.mark.covers("TXT-03")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'{"a":Infinity,"b":-Infinity,"c":NaN,"d":1}', b'{"a":null,"b":null,"c":null,"d":1}'),
        (b'{"a":1e400,"b":1.5}', b'{"a":null,"b":1.5}'),
        (b"[" + b"1" * 4301 + b",2]", b"[null,2]"),
        (b'"\\ud800"', b'"?"'),
        (b"[" * 960 + b"]" * 960, b"null"),
        (b"[" * 100_000, b"null"),
        (b'{"a":', b"null"),
        (b"", b"null"),
        (b"[" + b"{}," * 500_000 + b"{}]", b"null"),
        (b'[Infinity,"' + b"a" * json_format.MAX_REPAIRED_BYTES + b'"]', b"null"),
    ],
    ids=lambda text: f"{text[:12]!r} of {len(text)}",
)
def test_a_text_that_an_earlier_release_stored_badly_is_answered_as_strict_json(text, shown):
    assert json_format.encode_json(json_format.embed_stored(text)) == shown
    assert json_format.encode_json(json_format.parse_stored(text)) == shown


@pytest.mark.covers("TXT-03")
@given(st.binary(max_size=30) | st.text('{}[]",:1eInfityNa\\ud80 ', max_size=30).map(str.encode))
def test_every_stored_text_is_answered_as_strict_json(text):
    strict_json.parse(json_format.encode_json(json_format.embed_stored(text)))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_timestamps_are_rendered_in_utc_with_microseconds(when):
    stamp = Timestamp()
    stamp.FromDatetime(when)

    text = json_format.format_timestamp(stamp)
    assert datetime.fromisoformat(text) == when
    assert len(text) == len("2026-05-01T08:30:00.123456Z")
    assert text.endswith("Z")


def test_an_event_without_a_workspace_has_a_null_id():
    shown = render_event(pb.Event(id="e", event_id=7, event_type="T", payload=b'{"a":1}', created_at=WHEN))

    assert shown == {
        "id": "e",
        "event_id": 7,
        "event_type": "T",
        "workspace_id": None,
        "payload": msgspec.Raw(b'{"a":1}'),
        "created_at": "2026-05-01T08:30:00.123456Z",
    }


def test_activity_has_bodies_only_where_there_are_any():
    row = activity_pb2.Activity(id="a", workspace_id="w", activity_type="a2a_receive", status="ok", created_at=WHEN)
    assert not {"request_body", "response_body", "tool_trace"} & set(render_activity(row))
    assert render_activity(row)["source_id"] is None

    row.request_body = json.dumps({"jsonrpc": "2.0"}).encode()
    row.tool_trace = b"[]"
    assert render_activity(row)["request_body"] == msgspec.Raw(b'{"jsonrpc": "2.0"}')
    assert render_activity(row)["tool_trace"] == msgspec.Raw(b"[]")


def test_a_peer_has_exactly_the_keys_of_the_contract():
    keys = ["id", "name", "role", "tier", "status", "agent_card", "url", "parent_id", "active_tasks", "delivery_mode"]

    assert list(render_peer(bare())) == keys
