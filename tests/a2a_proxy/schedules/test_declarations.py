from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from services.a2a_proxy.model import DeclaredSchedule
from services.a2a_proxy.schedules import declarations, rules
from services.a2a_proxy.schedules.rules import RunOutcome, RunStatus, ScheduleDraft, ScheduleSource

NOW = datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=5)


def declare(name="daily", **fields):
    return DeclaredSchedule(**{"name": name, "cron_expr": "0 9 * * *", "prompt": "go"} | fields)


def plan(declared, existing=(), now=NOW):
    return declarations.plan_changes("w", declared, existing, now=now, ids=(f"id-{number}" for number in count()))


def apply(declared, existing=(), now=NOW):
    """The schedules after a declaration."""
    changes = plan(declared, existing, now)
    gone = {schedule.id for schedule in (*changes.deleted, *changes.updated)}
    return [*(schedule for schedule in existing if schedule.id not in gone), *changes.updated, *changes.created]


def make_own(name, **fields):
    draft = ScheduleDraft(**{"name": name, "cron_expr": "0 9 * * *", "prompt": "mine"} | fields)
    source = ScheduleSource.RUNTIME
    return rules.build_schedule(draft, schedule_id=f"own-{name}", workspace_id="w", now=NOW, source=source)


names = st.sampled_from(["a", "b", "c", ""])
declared_lists = st.lists(
    st.builds(
        DeclaredSchedule,
        name=names,
        cron_expr=st.sampled_from(["0 9 * * *", "* * * * *", "@daily"]),
        prompt=st.sampled_from(["go", ""]),
        timezone=st.sampled_from(["UTC", "Mars"]),
        enabled=st.booleans(),
    ),
    max_size=5,
)


@given(declared_lists, declared_lists)
@settings(max_examples=40)
def test_a_declaration_that_is_applied_again_changes_nothing_and_names_stay_unique(first, second):
    once = apply(second, apply(first))
    twice = apply(second, once)

    assert {one.name: replace(one, updated_at=NOW) for one in twice} == {
        one.name: replace(one, updated_at=NOW) for one in once
    }
    assert len({one.name for one in once}) == len(once)
    assert {one.name for one in once} == {one.name for one in second}


def test_declared_schedules_are_created_with_source_template():
    [schedule] = apply([declare(timezone="Europe/Berlin")])

    assert (schedule.source, schedule.name, schedule.prompt) == (ScheduleSource.TEMPLATE, "daily", "go")
    assert schedule.next_run_at == datetime(2026, 5, 2, 7, tzinfo=UTC)
    assert not schedule.edited


def test_a_schedule_that_a_caller_changed_or_made_stays_as_it_is():
    [made] = apply([declare()])
    edited = rules.apply_changes(made, {"prompt": "mine"}, NOW)
    own = make_own("own")

    kept = apply([declare(prompt="new"), declare("own", prompt="new")], [edited, own], LATER)
    undeclared = apply([], [edited, own], LATER)

    assert kept == undeclared == [edited, own]


def test_a_schedule_that_follows_its_template_changes_and_ends_with_it():
    [made] = apply([declare()])
    claimed, run = rules.start_run(
        made,
        rules.Plan(action=rules.Action.FIRE, scheduled_at=NOW, next_run_at=LATER, interval=timedelta()),
        run_id="r",
        now=NOW,
    )
    ran, _ = rules.finish_run(claimed, run, RunOutcome(is_ok=True), timedelta())

    [same_time] = apply([declare(prompt="new")], [ran], LATER)
    [other_time] = apply([declare(cron_expr="0 10 * * *")], [ran], LATER)

    assert (same_time.id, same_time.prompt, same_time.next_run_at) == (made.id, "new", LATER)
    assert (same_time.run_count, same_time.last_status, same_time.last_run_at) == (1, RunStatus.OK, NOW)
    assert same_time.created_at == NOW
    assert other_time.next_run_at == datetime(2026, 5, 2, 10, tzinfo=UTC)
    assert apply([declare("other")], [ran], LATER)[0].name == "other"
    assert apply([], [ran], LATER) == []


def test_an_invalid_declaration_is_there_disabled_with_its_error():
    wrong = [
        declare("a", cron_expr="@daily"),
        declare("b", timezone="Mars"),
        declare("c", prompt=""),
        declare("d", prompt="x" * 70_000),
        declare("e", cron_expr="\0" * 300, timezone="\0", prompt="\0"),
    ]

    found = {one.name: one for one in apply([*wrong, declare("f")])}

    assert {name: one.last_error for name, one in found.items()} == {
        "a": "invalid cron_expr",
        "b": "invalid timezone: Mars",
        "c": "cron_expr and prompt are required",
        "d": "prompt must be <= 65536 bytes",
        "e": "name must not contain control characters",
        "f": "",
    }
    for name in "abcde":
        one = found[name]
        assert (one.enabled, one.next_run_at, one.last_status) == (False, None, RunStatus.ERROR)
        assert "\0" not in one.cron_expr + one.timezone + one.prompt
    mended = apply([declare("a")], [found["a"]], LATER)
    assert (mended[0].enabled, mended[0].last_status, mended[0].last_error) == (True, None, "")


def test_what_cannot_be_stored_is_ignored():
    existing = [make_own(str(number)) for number in range(rules.MAX_SCHEDULES_PER_WORKSPACE - 1)]

    changes = plan([declare("a"), declare("a"), declare("x" * 201), declare("l\nb"), declare("b")], existing)

    assert [one.name for one in changes.created] == ["a"]
    assert changes.ignored == ["a", "x" * 200, "l\nb", "b"]


def test_a_digest_tells_declarations_apart():
    variants = [[declare()], [declare(enabled=False)], [declare(), declare("b")], [declare(timezone="Asia/Tokyo")]]

    assert len({declarations.compute_digest(one) for one in variants}) == len(variants)
    assert declarations.compute_digest(()) == ""
    assert declarations.compute_digest([declare()]) == declarations.compute_digest((declare(),))
