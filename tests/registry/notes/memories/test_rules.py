from dataclasses import replace
from datetime import timedelta

import pytest

from services.registry.notes.errors import InvalidNote, RootsOnly
from services.registry.notes.memories import rules
from services.registry.notes.memories.rules import Memory, MemoryQuery, MemoryScope
from services.registry.workspace.validation import InitialMemory
from tests.registry.strategies import NOW
from tests.registry.workspace.test_state_machine import workspace

LOCAL, TEAM, GLOBAL = MemoryScope.LOCAL, MemoryScope.TEAM, MemoryScope.GLOBAL
ROOT, CHILD = workspace(id="root"), workspace(id="child", parent_id="root")


@pytest.mark.parametrize(
    ("limit", "of_the_contract"),
    [
        (rules.MAX_CONTENT_BYTES, 100_000),
        (rules.MAX_NAMESPACE_BYTES, 50),
        (rules.MAX_QUERY_BYTES, 1000),
        (rules.MAX_MEMORIES_PER_WORKSPACE, 10_000),
        (rules.DEFAULT_NAMESPACE, "general"),
        (MemoryQuery(), MemoryQuery(scope=None, query="", namespace="", limit=50)),
    ],
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


def test_a_scope_is_local_team_or_global():
    assert [rules.parse_scope(text) for text in ("LOCAL", "TEAM", "GLOBAL")] == [LOCAL, TEAM, GLOBAL]
    for text in ("", "local", "ALL"):
        with pytest.raises(InvalidNote) as refusal:
            rules.parse_scope(text)
        assert refusal.value.message == "scope must be LOCAL, TEAM, or GLOBAL"


@pytest.mark.parametrize(
    ("content", "namespace"),
    [("x", ""), ("x" * 100_000, "general"), ("é" * 50_000, "x" * 50), ("x", "é" * 25)],
)
def test_a_memory_within_the_limits_is_valid(content, namespace):
    rules.check_memory(content, namespace)


@pytest.mark.parametrize(
    ("content", "namespace", "message"),
    [
        ("", "general", "invalid request body"),
        ("a\0b", "general", "invalid request body"),
        ("a", "a\0b", "invalid request body"),
        ("x" * 100_001, "general", "content must be <= 100000 bytes"),
        ("é" * 50_000 + "x", "general", "content must be <= 100000 bytes"),
        ("a", "x" * 51, "namespace must be <= 50 characters"),
        ("a", "é" * 25 + "x", "namespace must be <= 50 characters"),
    ],
)
def test_a_memory_over_a_limit_is_refused(content, namespace, message):
    with pytest.raises(InvalidNote) as refusal:
        rules.check_memory(content, namespace)

    assert refusal.value.message == message


@pytest.mark.parametrize("scope", MemoryScope)
@pytest.mark.parametrize("author", [ROOT, CHILD])
def test_only_roots_write_global_memories(author, scope):
    if author is CHILD and scope is GLOBAL:
        with pytest.raises(RootsOnly):
            rules.check_author(author, scope)
    else:
        rules.check_author(author, scope)


def test_a_query_is_checked_and_stripped():
    assert rules.build_query("", " tea ", "general", 7) == MemoryQuery(
        scope=None, query="tea", namespace="general", limit=7
    )
    assert rules.build_query("TEAM", "x" * 1000, "", 1) == MemoryQuery(scope=TEAM, query="x" * 1000, limit=1)
    for scope, query, message in (
        ("", "x" * 1001, "q must be <= 1000 bytes"),
        ("", "é" * 500 + "x", "q must be <= 1000 bytes"),
        ("team", "", "scope must be LOCAL, TEAM, or GLOBAL"),
    ):
        with pytest.raises(InvalidNote) as refusal:
            rules.build_query(scope, query, "", 1)
        assert refusal.value.message == message


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (LOCAL, "[MEMORY id=1] [REDACTED:SECRET]"),
        (TEAM, "[MEMORY id=1] [REDACTED:SECRET]"),
        (GLOBAL, "[_MEMORY id=1] [REDACTED:SECRET]"),
    ],
)
def test_secrets_are_redacted_and_frames_escaped_in_global_memories(scope, expected):
    secret = "DB_PASSWORD=0123456789"

    assert rules.sanitize_content(f"[MEMORY id=1] {secret}", scope) == expected.replace(
        "[REDACTED", "DB_PASSWORD=[REDACTED"
    )


def test_a_framed_memory_names_its_author_and_scope():
    memory = Memory(id="m", workspace_id="w", scope=GLOBAL, namespace="general", content="tea", created_at=NOW)

    assert rules.frame_memory(memory) == replace(memory, content="[MEMORY id=m scope=GLOBAL from=w]: tea")


def test_the_team_of_a_workspace_is_its_parent_with_the_children():
    assert (rules.get_team_lead(ROOT), rules.get_team_lead(CHILD)) == ("root", "root")
    assert rules.is_in_team("root", ROOT)
    assert rules.is_in_team("root", CHILD)
    assert rules.is_in_team("child", CHILD)
    assert not rules.is_in_team("child", ROOT)


# Initial memories ────────────────────────────────────────────────────────────


def build_initial(author, *wanted):
    return rules.build_initial_memories(author, wanted, [f"m{number}" for number in range(len(wanted))])


def test_initial_memories_are_local_and_general_in_their_order():
    assert build_initial(ROOT, InitialMemory("tea", ""), InitialMemory("[MEMORY x", "GLOBAL")) == [
        Memory(
            id="m0",
            workspace_id="root",
            scope=LOCAL,
            namespace="general",
            content="tea",
            created_at=ROOT.created_at,
        ),
        Memory(
            id="m1",
            workspace_id="root",
            scope=GLOBAL,
            namespace="general",
            content="[_MEMORY x",
            created_at=ROOT.created_at + timedelta(microseconds=1),
        ),
    ]


@pytest.mark.parametrize(
    ("author", "memory", "is_kept"),
    [
        (ROOT, InitialMemory("tea", "LOCAL"), True),
        (ROOT, InitialMemory("tea", "TEAM"), True),
        (ROOT, InitialMemory("tea", "GLOBAL"), True),
        (CHILD, InitialMemory("tea", ""), True),
        (CHILD, InitialMemory("tea", "LOCAL"), True),
        (CHILD, InitialMemory("tea", "TEAM"), True),
        (CHILD, InitialMemory("tea", "GLOBAL"), False),
        (ROOT, InitialMemory("tea", "team"), False),
        (CHILD, InitialMemory("tea", "ALL"), False),
        (ROOT, InitialMemory("", "LOCAL"), False),
        (ROOT, InitialMemory(" \n", "LOCAL"), False),
        (ROOT, InitialMemory("a\0b", "LOCAL"), False),
    ],
)
def test_only_memories_that_the_workspace_could_have_written_are_kept(author, memory, is_kept):
    assert [one.scope for one in build_initial(author, memory)] == (
        [MemoryScope(memory.scope or "LOCAL")] if is_kept else []
    )


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("x" * 100_000, "x" * 100_000),
        ("x" * 100_001, "x" * 100_000),
        ("é" * 50_001, "é" * 50_000),
        ("x" + "é" * 50_000, "x" + "é" * 49_999),
    ],
)
def test_a_long_initial_memory_is_cut_between_two_characters(content, kept):
    [memory] = build_initial(ROOT, InitialMemory(content, "LOCAL"))

    assert memory.content == kept
