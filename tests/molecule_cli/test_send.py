"""`molecule send`: exit codes by task state, waiting for agents, and the dialect of the agent's card."""

import itertools

import pytest

from molecule_cli import dialect, receipts
from tests.molecule_cli.in_process import molecule
from tests.molecule_cli.plane_app import LEAD, TOKEN, FakePlane, ReplyingPlane, StreamingPlane, serve
from tests.molecule_cli.test_cli import error_line

ORG_TOKEN = "the-token-of-an-organisation"

ONLY_1_0 = {"supportedInterfaces": [{"protocolBinding": "JSONRPC", "protocolVersion": "1.0", "url": "http://x"}]}


def part(text: str) -> dict:
    return {"parts": [{"text": text}]}


def status(state: str, text: str = "") -> dict:
    return {"state": state, "message": part(text)} if text else {"state": state}


@pytest.mark.covers("TTY-05")
@pytest.mark.parametrize(
    ("result", "code", "stdout", "stderr"),
    [
        ({"kind": "message", **part("hi")}, 0, "hi\n", ""),
        ({"kind": "task", "status": status("completed"), "artifacts": [part("done")]}, 0, "done\n", ""),
        ({"task": {"status": status("TASK_STATE_COMPLETED"), "artifacts": [part("done")]}}, 0, "done\n", ""),
        ({"kind": "task", "status": status("failed", "no key")}, 3, "no key\n", "the task is failed: no key"),
        ({"task": {"status": status("TASK_STATE_REJECTED")}}, 3, "\n", "the task is rejected"),
        ({"kind": "task", "status": status("canceled")}, 3, "\n", "the task is canceled"),
        ({"task": {"status": status("TASK_STATE_INPUT_REQUIRED", "which?")}}, 4, "which?\n", "input-required: which?"),
        ({"kind": "task", "status": status("auth-required")}, 4, "\n", "the task is auth-required"),
        ({"kind": "task", "status": status("working")}, 5, "\n", "the task is working"),
        ({"task": {"status": status("TASK_STATE_SUBMITTED")}}, 5, "\n", "the task is submitted"),
    ],
)
def test_the_exit_code_tells_the_state_of_the_task(result, code, stdout, stderr):
    with serve(ReplyingPlane((200, {}, {"jsonrpc": "2.0", "id": 1, "result": result}))) as url:
        answer = molecule("send", LEAD, "hi", MOLECULE_URL=url)

    assert (answer.returncode, answer.stdout) == (code, stdout)
    assert stderr in answer.stderr


@pytest.mark.covers("TTY-05")
@pytest.mark.parametrize(
    ("last", "code"),
    [
        ({"kind": "status-update", "status": status("completed"), "final": True}, 0),
        ({"kind": "status-update", "status": status("failed", "no key"), "final": True}, 3),
        ({"statusUpdate": {"status": status("TASK_STATE_INPUT_REQUIRED")}}, 4),
        ({"statusUpdate": {"status": status("TASK_STATE_WORKING")}}, 5),
    ],
)
def test_the_last_event_of_a_stream_decides_the_exit_code(last, code):
    first = {"kind": "status-update", "status": status("working")}
    with serve(StreamingPlane(first, {"kind": "artifact-update", "artifact": part("hi")}, last)) as url:
        answer = molecule("send", LEAD, "hi", "--stream", MOLECULE_URL=url)

    assert (answer.returncode, answer.stdout) == (code, "hi\n")


@pytest.mark.covers("TTY-05")
@pytest.mark.parametrize(
    ("answer", "code", "stdout", "stderr"),
    [
        ({"result": {"kind": "task", "status": status("completed"), "artifacts": [part("done")]}}, 0, "done\n", ""),
        ({"result": {"task": {"status": status("TASK_STATE_FAILED", "no key")}}}, 3, "", "the task is failed: no key"),
        ({"result": {"kind": "message", **part("hi")}}, 0, "hi\n", ""),
        ({"status": "queued", "delivery_mode": "poll"}, 5, "", "not answered yet: queued"),
    ],
)
def test_one_answer_instead_of_a_stream_counts_like_one_that_was_not_streamed(answer, code, stdout, stderr):
    with serve(ReplyingPlane((200, {}, {"jsonrpc": "2.0", "id": 1, **answer}))) as url:
        result = molecule("send", LEAD, "hi", "--stream", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (code, stdout)
    assert stderr in result.stderr
    assert "None" not in result.stderr


@pytest.mark.covers("TTY-05")
@pytest.mark.parametrize("events", [(), ({"kind": "artifact-update", "artifact": part("hi")},)])
def test_a_stream_that_ends_before_the_answer_is_no_success(events):
    with serve(StreamingPlane(*events)) as url:
        result = molecule("send", LEAD, "hi", "--stream", MOLECULE_URL=url)

    assert result.returncode == 5
    assert "the stream ended before the answer was complete" in result.stderr


@pytest.mark.covers("TTY-07")
@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Retry-After": "1"}, {"error": "workspace is waking", "waking": True, "retry_after": 1}),
        ({}, {"error": "workspace is provisioning", "status": "provisioning"}),
        ({"Retry-After": "1"}, {"error": "restarting", "restarting": True, "delivery": "not_sent"}),
        ({"Retry-After": "0"}, {"error": {"code": -32603, "message": "waking", "data": {"waking": True}}}),
    ],
)
def test_a_message_to_a_starting_agent_is_sent_again_with_the_same_id(headers, refusal):
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"kind": "message", **part("here")}}
    plane = ReplyingPlane((503, headers, refusal), (503, headers, refusal), (200, {}, answer))
    with serve(plane) as url:
        result = molecule("send", "lead", "hi", MOLECULE_URL=url)

    assert (result.returncode, result.stdout) == (0, "here\n")
    assert result.stderr.startswith("waiting for lead: ")
    assert result.stderr.count("\n") == 1
    assert len({call["params"]["message"]["messageId"] for _, call in plane.sent}) == 1
    assert len(plane.sent) == 3


@pytest.mark.covers("TTY-07")
@pytest.mark.parametrize(
    ("status_code", "headers", "refusal", "arguments"),
    [
        (503, {"Retry-After": "1"}, {"error": "restarting", "restarting": True, "delivery": "unknown"}, []),
        (503, {}, {"error": "workspace is paused", "status": "paused"}, []),
        (503, {"Retry-After": "15"}, {"error": "waking", "waking": True}, ["--wait", "0"]),
        (402, {}, {"error": "workspace budget limit exceeded"}, []),
        (502, {"Retry-After": "1"}, {"error": "no answer"}, []),
    ],
)
def test_a_message_that_may_have_arrived_or_cannot_arrive_is_sent_once(status_code, headers, refusal, arguments):
    plane = ReplyingPlane((status_code, headers, refusal))
    with serve(plane) as url:
        assert error_line(molecule("send", LEAD, "hi", *arguments, MOLECULE_URL=url)) == refusal["error"]

    assert len(plane.sent) == 1


@pytest.mark.covers("TTY-08")
@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_an_agent_that_speaks_only_1_0_is_spoken_to_in_1_0(stream):
    plane = StreamingPlane({"task": {"status": status("TASK_STATE_COMPLETED"), "artifacts": [part("hi")]}})
    plane.cards[LEAD] = ONLY_1_0
    with serve(plane) as url:
        molecule("send", LEAD, "hello", *stream, MOLECULE_URL=url)

    version, call = plane.sent[0]
    assert version == "1.0"
    assert call["method"] == ("SendStreamingMessage" if stream else "SendMessage")
    assert call["params"]["message"]["role"] == "ROLE_USER"
    assert call["params"]["message"]["parts"] == [{"text": "hello"}]


@pytest.mark.covers("TTY-08")
@pytest.mark.parametrize(
    ("card", "version"),
    [
        (None, "0.3"),
        ([], "0.3"),
        ({}, "0.3"),
        ({"protocolVersion": "0.3.0", "url": "http://x"}, "0.3"),
        (ONLY_1_0, "1.0"),
        (ONLY_1_0 | {"protocolVersion": "0.3.0"}, "0.3"),
        ({"supportedInterfaces": [{"protocolVersion": "1.0"}, {"protocolVersion": "0.3"}]}, "0.3"),
        (
            {
                "supportedInterfaces": [
                    {"protocolVersion": "1.0"},
                    {"protocolBinding": "GRPC", "protocolVersion": "0.3"},
                ]
            },
            "1.0",
        ),
        ({"supportedInterfaces": [{"protocolBinding": "GRPC", "protocolVersion": "1.0"}]}, "0.3"),
        ({"supportedInterfaces": "odd"}, "0.3"),
        ({"supportedInterfaces": [None, 1, {"protocolVersion": None}]}, "0.3"),
    ],
)
def test_the_card_decides_the_dialect(card, version):
    assert dialect.choose_dialect(card).version == version


@pytest.mark.covers("TTY-04")
def test_a_token_of_an_organisation_finds_workspaces_by_name():
    plane = FakePlane()
    plane.token, plane.org_token = TOKEN, ORG_TOKEN
    with serve(plane) as url:
        sent = molecule("send", "lead", "hello", MOLECULE_URL=url, MOLECULE_TOKEN=ORG_TOKEN)
        shown = molecule("status", MOLECULE_URL=url, MOLECULE_TOKEN=ORG_TOKEN)

    assert (sent.returncode, sent.stdout) == (0, "hello\n")
    assert [line.split()[:2] for line in shown.stdout.splitlines()[3:]] == [
        ["lead", "online"],
        ["writer", "failed"],
        ["writer", "online"],
    ]
    assert "provision_timeout" in shown.stdout


@pytest.mark.covers("TTY-14")
def test_the_plane_is_asked_at_growing_intervals_what_became_of_a_message():
    delays = list(itertools.islice(receipts.choose_delays(), 20))

    assert (delays[0], delays[-1]) == (0.2, 2.0)
    assert delays == sorted(delays)
