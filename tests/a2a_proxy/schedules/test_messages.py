import json
from datetime import UTC, datetime, timedelta

import pytest

from services.a2a_proxy.errors import AgentBusy
from services.a2a_proxy.model import Acceptance, Answer, AnswerReceipt, FailureReceipt, QueueReceipt
from services.a2a_proxy.schedules import messages
from services.a2a_proxy.schedules.rules import RunOutcome, Schedule

NOW = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)

TEXT = {"kind": "text", "text": "done"}
BLANK = {"kind": "text", "text": " "}


def judge(result=None, *, status=200, **body):
    members = {"jsonrpc": "2.0", "id": "1"} | ({} if body else {"result": result}) | body
    return judge_bytes(json.dumps(members).encode(), status)


def judge_bytes(body, status=200):
    return messages.judge_answer(AnswerReceipt(answer=Answer(status=status), agent_time=timedelta()), body)


def test_a_run_sends_its_prompt_under_an_id_that_its_time_decides():
    schedule = Schedule(
        id="s", workspace_id="w", name="n", cron_expr="* * * * *", prompt="gö", created_at=NOW, updated_at=NOW
    )

    incoming = messages.build_message(schedule, NOW, began_at=0.0)

    request = json.loads(incoming.body)
    message = request["params"]["message"]
    assert (incoming.target, incoming.caller, incoming.timeout) == ("w", None, "1800")
    assert (request["method"], message["messageId"]) == ("message/send", "cron-s-20260501T083000Z")
    assert message["parts"] == [{"kind": "text", "text": "gö"}]
    assert messages.build_message(schedule, NOW, began_at=0.0) == incoming


@pytest.mark.parametrize(
    "result",
    [
        {"kind": "message", "role": "agent", "parts": [TEXT]},
        {"kind": "message", "parts": [BLANK, {"kind": "file", "file": {"uri": "x"}}]},
        {"kind": "message", "parts": [{"kind": "data", "data": {"a": 1}}]},
        {"kind": "task", "status": {"state": "completed"}, "artifacts": [{"parts": [TEXT]}]},
        {"kind": "task", "status": {"state": "completed", "message": {"parts": [TEXT]}}},
        {"kind": "task", "status": {"state": "submitted"}},
        {"kind": "task", "status": {"state": "working"}},
        {"task": {"status": {"state": "TASK_STATE_WORKING"}}},
        {"message": {"parts": [{"text": "done"}]}},
        {"task": {"status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [{"parts": [{"text": "x"}]}]}},
        "text",
    ],
)
def test_an_answer_with_content_or_work_to_come_is_not_empty(result):
    assert judge(result) == RunOutcome(is_ok=True)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        "",
        {"kind": "message", "parts": []},
        {"kind": "message", "parts": [BLANK, {"kind": "text", "text": ""}, "x"]},
        {"kind": "task", "status": {"state": "completed"}, "artifacts": []},
        {"message": {"parts": [{"text": ""}]}},
    ],
)
def test_an_answer_without_content_is_empty(result):
    assert judge(result) == RunOutcome(is_ok=True, is_empty=True)


def test_answers_that_are_no_json_are_judged_by_their_bytes():
    assert judge_bytes(b"") == RunOutcome(is_ok=True, is_empty=True)
    assert judge_bytes(b"fine") == RunOutcome(is_ok=True)
    assert judge_bytes(b'{"result":' + b'{"message":' * 90 + b"1" + b"}" * 91) == RunOutcome(is_ok=True)


def test_failures_are_described_without_a_text_of_the_agent():
    secret = "what-the-agent-said"
    assert judge(secret, status=500).detail == "agent answered with HTTP status 500"
    assert judge(error={"code": -32000, "message": secret}).detail == "agent answered with a JSON-RPC error"
    failed = {"kind": "task", "status": {"state": "failed", "message": {"parts": [{"text": secret}]}}}
    assert judge(failed) == RunOutcome(is_ok=False, detail="agent's task failed")
    busy = FailureReceipt(error=AgentBusy(), agent_time=timedelta())
    assert messages.judge_failure(busy) == RunOutcome(is_ok=False, detail=AgentBusy.message)


def test_a_message_that_waits_in_a_queue_is_a_success():
    outcome = messages.judge_queued(QueueReceipt(queue_id="q", method="message/send", acceptance=Acceptance.BUSY))

    assert outcome == RunOutcome(is_ok=True, detail=messages.QUEUED_TEXT)
