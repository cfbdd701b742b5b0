"""Collects the evidence of a run: what senders, agents and the plane say of each message."""

import json
from collections import Counter
from typing import Any

from chaos.agents import ARRIVALS
from chaos.journal import read_journal
from chaos.load import read_sent
from chaos.model import Account, Evidence, SentMessage, StoredMessage
from chaos.subject import Subject
from chaos.upkeep import ACKNOWLEDGED
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.rules import build_identity

STATES = ("queued", "dispatching", "completed", "unknown", "dead", "expired", "dropped")

COUNT_OPEN = "select count(*) from a2a_proxy.queued_messages where state in ('queued', 'dispatching')"

SELECT_STORED = "select id, identity, target_id, state, result, last_error, attempts from a2a_proxy.queued_messages"


async def count_open(subject: Subject) -> int:
    """Return how many accepted messages have not ended."""
    async with subject.open_database() as connection:
        return int(await connection.fetchval(COUNT_OPEN))


async def read_accounts(subject: Subject) -> tuple[Account, list[Account]]:
    """Return the plane's accounts: their sums, and one for each target."""
    answer = await subject.plane.http.get("/admin/a2a-queue/accounts", timeout=30)
    answer.raise_for_status()
    found = answer.json()
    return _parse_account(found["total"]), [_parse_account(each) for each in found["targets"]]


async def collect_evidence(subject: Subject) -> Evidence:
    """Return the evidence of a run that is over."""
    sent = read_sent(subject.directory)
    total, accounts = await read_accounts(subject)
    return Evidence(
        sent=sent,
        arrivals=Counter(record["message_id"] for record in read_journal(subject.directory / ARRIVALS)),
        acknowledged=frozenset(record["queue_id"] for record in read_journal(subject.directory / ACKNOWLEDGED)),
        stored=await _read_stored(subject, sent),
        accounts=accounts,
        total=total,
    )


async def _read_stored(subject: Subject, sent: dict[str, SentMessage]) -> list[StoredMessage]:
    """Return all stored messages. They are matched with the sent ones by identity, also without an answer."""
    identities = {_build_identity(each): id_ for id_, each in sent.items()}
    async with subject.open_database() as connection:
        rows = await connection.fetch(SELECT_STORED)
    return [
        StoredMessage(
            queue_id=str(row["id"]),
            message_id=identities.get(row["identity"] or b""),
            target_id=str(row["target_id"]),
            state=row["state"],
            result=row["result"],
            history=_describe_history(row["attempts"], row["last_error"]),
        )
        for row in rows
    ]


def _build_identity(sent: SentMessage) -> bytes:
    message = sent.message
    return build_identity(WorkspaceId(message.target_id), message.caller_id, message.id)


def _describe_history(attempts: str, last_error: str | None) -> str:
    return f"{json.loads(attempts or '[]')} {last_error or ''}"


def _parse_account(account: dict[str, Any]) -> Account:
    return Account(
        target_id=account.get("workspace_id", ""),
        accepted=account["accepted"],
        counts={state: account[state] for state in STATES},
    )
