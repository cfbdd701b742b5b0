"""Decides whether the plane kept its promises in a run (docs/spec/delivery.md): evidence in, verdict out."""

from collections import Counter
from collections.abc import Iterator

from chaos.model import (
    Account,
    AgentKind,
    Evidence,
    Response,
    SentMessage,
    StoredMessage,
    Verdict,
    Violation,
)

OK = 200

ACCEPTED = 202

EXPECTED_STATUSES = frozenset({OK, ACCEPTED, 502, 503, 504})
"""The statuses with which the plane may answer a well-formed message while its parts fail."""

OPEN_STATES = frozenset({"queued", "dispatching"})

UNDELIVERED_STATES = frozenset({"dead", "expired", "dropped"})
"""States of messages that no agent has taken, unless they may be repeated."""

LOST = "accepted message lost"


def judge(evidence: Evidence) -> Verdict:
    """Return the figures of a run and every broken promise."""
    violations = [
        *_check_accounts(evidence),
        *_check_stored(evidence),
        *_check_acceptances(evidence),
        *_check_arrivals(evidence),
        *_check_answers(evidence),
    ]
    states = Counter(stored.state for stored in evidence.stored)
    repeated = {id_: count - 1 for id_, count in evidence.arrivals.items() if count > 1}
    return Verdict(
        sent=len(evidence.sent),
        answered=sum(any(map(_is_answer, each.responses)) for each in evidence.sent.values()),
        unanswered=sum(all(each.status is None for each in sent.responses) for sent in evidence.sent.values()),
        accepted=evidence.total.accepted,
        delivered=sum(_count_arrivals(evidence, stored) > 0 for stored in evidence.stored),
        duplicates=sum(repeated.values()),
        unsafe_duplicates=sum(count for id_, count in repeated.items() if _is_unsafe(evidence.sent.get(id_))),
        completed=states["completed"],
        unknown=states["unknown"],
        dead=states["dead"],
        expired=states["expired"],
        dropped=states["dropped"],
        lost=len({violation.queue_id for violation in violations if violation.rule == LOST}),
        violations=violations,
    )


def _check_accounts(evidence: Evidence) -> Iterator[Violation]:
    """The plane's accounts balance, for each target and in total, and agree with the messages that it stores."""
    stored = Counter((each.target_id, each.state) for each in evidence.stored)
    for account in evidence.accounts:
        counted = {state: stored[account.target_id, state] for state in account.counts}
        if dict(account.counts) != counted:
            yield Violation(rule="account differs from the stored messages", detail=f"{account} {counted}")
    for account in (*evidence.accounts, evidence.total):
        if account.accepted != sum(account.counts.values()):
            yield Violation(rule="account does not balance", detail=str(account))
    if evidence.total != _add_accounts(evidence):
        yield Violation(rule="total is not the sum of the accounts", detail=str(evidence.total))
    if evidence.total.accepted != len(evidence.stored):
        yield Violation(
            rule="accepted messages are missing", detail=f"{evidence.total.accepted} of {len(evidence.stored)}"
        )


def _add_accounts(evidence: Evidence) -> Account:
    counts = {state: sum(each.counts[state] for each in evidence.accounts) for state in evidence.total.counts}
    return Account(target_id="", accepted=sum(each.accepted for each in evidence.accounts), counts=counts)


def _check_stored(evidence: Evidence) -> Iterator[Violation]:
    """Every stored message was sent, is stored once, has ended, and ended as its agent knows it."""
    copies = Counter(stored.message_id for stored in evidence.stored)
    for stored in evidence.stored:
        sent = evidence.sent.get(stored.message_id or "")
        if sent is None:
            yield _blame(stored, "message was stored that nobody sent")
            continue
        if copies[stored.message_id] > 1:
            yield _blame(stored, "message was accepted twice")
        if stored.state in OPEN_STATES:
            yield _blame(stored, "message never ended")
        arrived = _count_arrivals(evidence, stored)
        if stored.state == "completed" and not arrived:
            yield _blame(stored, LOST)
        if stored.state in UNDELIVERED_STATES and arrived and _is_unsafe(sent):
            yield _blame(stored, f"message ended as {stored.state}, but it arrived")
        if stored.queue_id in evidence.acknowledged and stored.state != "completed":
            yield _blame(stored, "acknowledged message is not completed")


def _check_acceptances(evidence: Evidence) -> Iterator[Violation]:
    """Every acceptance that a sender received names a stored message, and always the same one."""
    stored = {each.queue_id: each for each in evidence.stored}
    for sent in evidence.sent.values():
        queue_ids = {response.queue_id for response in sent.responses if response.queue_id}
        for queue_id in queue_ids:
            if queue_id not in stored:
                yield Violation(rule=LOST, message_id=sent.message.id, queue_id=queue_id)
            elif stored[queue_id].message_id != sent.message.id:
                yield _blame(stored[queue_id], "acceptance names another message", sent)
        if len(queue_ids) > 1:
            yield Violation(rule="message has two acceptances", message_id=sent.message.id, detail=str(queue_ids))


def _check_arrivals(evidence: Evidence) -> Iterator[Violation]:
    """No agent received a message twice that may not be repeated, or one that nobody sent."""
    for id_, count in evidence.arrivals.items():
        sent = evidence.sent.get(id_)
        if sent is None:
            yield Violation(rule="message arrived that nobody sent", message_id=id_)
        elif count > 1 and _is_unsafe(sent):
            yield Violation(rule="unsafe message arrived twice", message_id=id_, detail=f"{count} times, {sent}")


def _check_answers(evidence: Evidence) -> Iterator[Violation]:
    """Every answer to a sender is true: what was answered had arrived, what was refused had not."""
    stored = {each.message_id for each in evidence.stored}
    for id_, sent in evidence.sent.items():
        arrived = evidence.arrivals.get(id_, 0)
        for response in sent.responses:
            if response.status is not None and response.status not in EXPECTED_STATUSES:
                yield _accuse(sent, f"status {response.status}", response)
            if _is_answer(response) and not response.is_own:
                yield _accuse(sent, "answer belongs to another message", response)
            if _is_answer(response) and not arrived:
                yield _accuse(sent, "answered message did not arrive", response)
            if _is_answer(response) and id_ in stored and _is_unsafe(sent):
                yield _accuse(sent, "answered message was stored too", response)
            if response.status == ACCEPTED and not response.queue_id:
                yield _accuse(sent, "acceptance without an id", response)
        if len(sent.responses) == 1 and arrived and _says_not_sent(sent.responses[0]):
            yield _accuse(sent, "message arrived that was called not sent", sent.responses[0])


def _is_answer(response: Response) -> bool:
    """Whether it is the answer of an agent."""
    return response.status == OK and response.queue_id is None


def _says_not_sent(response: Response) -> bool:
    return response.delivery == "not_sent" or response.is_busy


def _is_unsafe(sent: SentMessage | None) -> bool:
    """Whether the agent may not receive the message twice. One that fetches its messages may, until it acknowledges."""
    return sent is not None and not sent.message.is_repeatable and sent.message.kind is not AgentKind.POLL


def _count_arrivals(evidence: Evidence, stored: StoredMessage) -> int:
    return evidence.arrivals.get(stored.message_id or "", 0)


def _blame(stored: StoredMessage, rule: str, sent: SentMessage | None = None) -> Violation:
    detail = f"{stored.state} {stored.result or ''} {stored.history}" + (f" {sent}" if sent else "")
    return Violation(rule=rule, message_id=stored.message_id or "", queue_id=stored.queue_id, detail=detail)


def _accuse(sent: SentMessage, rule: str, response: Response) -> Violation:
    message = sent.message
    detail = f"{message.kind} {message.mode} repeatable={message.is_repeatable} {response}"
    return Violation(rule=rule, message_id=message.id, queue_id=response.queue_id or "", detail=detail)
