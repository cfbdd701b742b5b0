"""Which message the start of an instance calls for, and what a restart notice says."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.model import Route, RouteChanged, Status, WorkspaceId
from services.a2a_proxy.platform_messages import messages, rules
from services.a2a_proxy.platform_messages.rules import HandledInstance, InstanceRun, Start, StartAction

WORKSPACE = WorkspaceId(str(uuid4()))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def build_update(status, generation, *, revision=1, minute=0, reason=""):
    route = Route(workspace_id=WORKSPACE, status=status, generation=generation, revision=revision, status_reason=reason)
    return RouteChanged(revision, route, initial_prompt="begin", status_since=NOON + timedelta(minutes=minute))


def observe(*updates):
    run = None
    for revision, (status, generation, minute, reason) in enumerate(updates, 1):
        run = rules.observe(run, build_update(status, generation, revision=revision, minute=minute, reason=reason))
    return run


def build_start(run, **fields):
    values = {"is_external": False, "initial_prompt": "begin"} | fields
    return Start(workspace_id=WORKSPACE, run=run, **values)


@dataclass
class Replica:
    """A proxy that follows the feed: what it has observed is lost when it restarts."""

    feed: list
    position: int = 0
    run: InstanceRun | None = None

    def restart(self):
        self.run = None
        self.position = max(self.position - 1, 0)

    def read(self):
        """Return the start that the next update shows, if it shows one."""
        if self.position == len(self.feed):
            return None
        update = self.feed[self.position]
        self.position += 1
        self.run = rules.observe(self.run, update)
        return build_start(self.run) if update.route.status in rules.ONLINE_STATUSES else None


@dataclass
class Plane:
    """What all replicas share: the stored instance, and the ids of the messages that were sent."""

    handled: HandledInstance | None = None
    sent: list[str] = field(default_factory=list)

    def handle(self, start):
        match rules.choose_action(start, self.handled):
            case StartAction.NOTHING:
                return
            case StartAction.SEND_INITIAL_PROMPT:
                message = messages.build_initial_prompt(start, queue_id=str(uuid4()))
            case StartAction.SEND_RESTART_NOTICE:
                message = messages.build_restart_notice(start, queue_id=str(uuid4()))
        self.sent.append(json.loads(message.body)["params"]["message"]["messageId"])
        self.handled = HandledInstance(start.run.generation)


steps = st.tuples(st.sampled_from(sorted(Status)), st.integers(0, 2))


@given(steps=st.lists(steps, min_size=1, max_size=12), orders=st.lists(st.tuples(st.integers(0, 1), st.booleans())))
def test_in_any_order_of_updates_replicas_and_restarts_each_message_is_sent_once(steps, orders):
    feed, generation = [], 1
    for revision, (status, rise) in enumerate(steps, 1):
        generation += rise
        feed.append(build_update(status, generation, revision=revision))
    replicas, plane = [Replica(feed), Replica(feed)], Plane()

    rest = [(number, False) for number in (0, 1) for _ in feed]
    for number, restarts in orders + rest:
        if restarts:
            replicas[number].restart()
        start = replicas[number].read()
        if start is not None:
            plane.handle(start)

    online = [update.route.generation for update in feed if update.route.status in rules.ONLINE_STATUSES]
    assert len(plane.sent) == len(set(plane.sent))
    assert sum(id_.startswith("initial-prompt") for id_ in plane.sent) == bool(online)
    if online:
        assert plane.handled == HandledInstance(online[-1])
        # the proxy that is first to see the workspace may see a later instance than the first one
        assert {int(id_.rsplit("-", 1)[1]) for id_ in plane.sent[1:]} <= set(online[1:])


@pytest.mark.parametrize(
    ("generation", "handled", "fields", "action"),
    [
        (1, None, {}, StartAction.SEND_INITIAL_PROMPT),
        (4, None, {}, StartAction.SEND_INITIAL_PROMPT),
        (0, None, {"is_external": True}, StartAction.SEND_INITIAL_PROMPT),
        (1, None, {"initial_prompt": " \n"}, StartAction.RECORD),
        (2, HandledInstance(1), {}, StartAction.SEND_RESTART_NOTICE),
        (2, HandledInstance(2), {}, StartAction.NOTHING),
        (1, HandledInstance(2), {}, StartAction.NOTHING),
        (2, HandledInstance(1), {"is_external": True}, StartAction.RECORD),
    ],
    ids=[
        "first instance",
        "first one that comes online after failures",
        "external agent",
        "no prompt",
        "restart",
        "same instance again",
        "late update",
        "restarts of others are not the plane's",
    ],
)
def test_a_start_calls_for_the_initial_prompt_once_and_for_a_notice_later(generation, handled, fields, action):
    start = build_start(InstanceRun(revision=1, generation=generation), **fields)
    assert rules.choose_action(start, handled) is action


@pytest.mark.parametrize(
    ("updates", "end"),
    [
        ([(Status.ONLINE, 1, 0, ""), (Status.PROVISIONING, 2, 5, "restart_requested")], (5, "restart_requested")),
        (
            [
                (Status.ONLINE, 1, 0, ""),
                (Status.OFFLINE, 1, 3, "container_not_running"),
                (Status.PROVISIONING, 2, 5, "auto_restart"),
            ],
            (3, "container_not_running"),
        ),
        (
            [
                (Status.OFFLINE, 1, 1, "liveness_timeout"),
                (Status.ONLINE, 1, 2, ""),
                (Status.PAUSED, 1, 3, "pause_requested"),
                (Status.PROVISIONING, 2, 5, "resume_requested"),
            ],
            (3, "pause_requested"),
        ),
        (
            [
                (Status.OFFLINE, 1, 1, "container_not_running"),
                (Status.PROVISIONING, 2, 2, "auto_restart"),
                (Status.FAILED, 2, 3, "provision_timeout"),
                (Status.PROVISIONING, 3, 5, "restart_requested"),
            ],
            (1, "container_not_running"),
        ),
        ([(Status.PROVISIONING, 2, 5, "restart_requested")], None),
    ],
    ids=["a request ends it", "it exited", "it recovered, then paused", "the one between failed", "not seen"],
)
def test_the_end_of_the_previous_run_is_that_of_the_last_instance_that_was_online(updates, end):
    run = observe(*updates)
    found = run.previous_end
    assert (found and ((found.at - NOON) // timedelta(minutes=1), found.reason)) == end


def test_a_notice_names_the_times_that_the_feed_has_shown_and_invents_none():
    run = observe(
        (Status.ONLINE, 1, 0, ""),
        (Status.OFFLINE, 1, 3, "container_not_running"),
        (Status.PROVISIONING, 2, 5, "auto_restart"),
    )
    assert messages.describe_restart(build_start(run, online_since=NOON + timedelta(minutes=6))).splitlines()[:-1] == [
        "Your workspace was restarted.",
        "Restart: 2026-05-01T12:05:00Z (auto_restart)",
        "Online since: 2026-05-01T12:06:00Z",
        "End of the previous run: 2026-05-01T12:03:00Z (container_not_running)",
    ]
    unseen = messages.describe_restart(build_start(InstanceRun(revision=1, generation=2)))
    assert unseen.splitlines()[:-1] == ["Your workspace was restarted."]


def test_an_older_update_changes_nothing():
    run = observe((Status.ONLINE, 1, 0, ""), (Status.PROVISIONING, 2, 5, ""))
    assert rules.observe(run, build_update(Status.ONLINE, 1, revision=1)) is run
    assert rules.observe(run, build_update(Status.ONLINE, 1, revision=9)) is run
