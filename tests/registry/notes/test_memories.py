import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.registry.errors.workspaces import (
    InvalidWorkspace,
    OrgAccessDenied,
    ParentNotFound,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.notes.errors import InvalidNote, MemoryNotFound, NotesTooLarge, RootsOnly, TooManyNotes
from services.registry.notes.memories import rules
from services.registry.notes.memories.rules import MAX_CONTENT_BYTES, MemoryQuery, MemoryScope
from services.registry.notes.memories.service import Memories
from services.registry.notes.memories.tables import memories as table
from services.registry.workspace.hierarchy import may_communicate
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.validation import InitialMemory
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import RunningProvisioner, remove
from tests.registry.store.test_tables import RecordedStatements
from tests.registry.strategies import workspaces

KEY = "ghp_" + "a1B2" * 10


@pytest.fixture
def memories(registry):
    return Memories(registry.store, clock=registry.clock)


async def commit(memories, workspace, content, scope="LOCAL", namespace="", caller=None):
    by = caller or agent(workspace.id)
    memories._clock.advance(seconds=1)
    return await memories.commit(by, workspace.id, "", content=content, scope=scope, namespace=namespace)


async def search(memories, workspace, caller=None, **asked):
    found = await memories.search(caller or agent(workspace.id), workspace.id, MemoryQuery(**asked))
    return [memory.content for memory in found]


async def family(registry):
    """A root, its children a and a2, b below a, and another root."""
    root = await registry.create("root")
    a = await registry.create("a", parent_id=root.id)
    a2 = await registry.create("a2", parent_id=root.id)
    b = await registry.create("b", parent_id=a.id)
    return root, a, a2, b, await registry.create("other")


# Finding a part of a text ────────────────────────────────────────────────────


async def find(memories, workspace, text="", limit=50, caller=None):
    found = await memories.find(caller or agent(workspace.id), workspace.id, text, limit=limit)
    return [memory.content for memory in found]


async def test_a_part_of_content_or_namespace_is_found_the_newest_first(registry, memories):
    root, a, *_ = await family(registry)
    await commit(memories, root, "the first 50%", scope="GLOBAL")
    await commit(memories, root, "second", namespace="Kitchen")
    await commit(memories, root, "third: THE last", scope="TEAM")
    await commit(memories, a, "the memory of another")

    assert await find(memories, root) == ["third: THE last", "second", "the first 50%"]
    assert await find(memories, root, limit=2) == ["third: THE last", "second"]
    assert await find(memories, root, "The") == ["third: THE last", "the first 50%"]
    assert await find(memories, root, "irst") == ["the first 50%"]
    assert await find(memories, root, "kitch") == ["second"]
    assert await find(memories, root, "%") == ["the first 50%"]
    assert await find(memories, root, "f_rst") == []


async def test_a_text_that_is_too_long_is_refused_and_an_unknown_workspace_has_no_memories(registry, memories):
    root = await registry.create("root")
    await commit(memories, root, "x" * 1000)

    assert len(await find(memories, root, "x" * 1000)) == 1
    with pytest.raises(InvalidNote, match="q must be <= 1000 bytes"):
        await find(memories, root, "x" * 1001)
    assert await memories.find(ADMIN, WorkspaceId(str(uuid4())), "", limit=50) == ()


@given(st.lists(st.integers(0, rules.MAX_PAGE_BYTES // 2), max_size=5))
@settings(max_examples=20, deadline=None)
def test_a_result_holds_the_first_memories_that_fit_into_one_message(sizes):
    found = [
        rules.Memory(
            id=str(size), workspace_id="w", scope=MemoryScope.LOCAL, namespace="", content="x" * size, created_at=0
        )
        for size in sizes
    ]

    page = rules.cut_page(found)

    assert page == found[: len(page)]
    assert sum(sizes[: len(page)]) <= rules.MAX_PAGE_BYTES
    assert len(page) == len(found) or sum(sizes[: len(page) + 1]) > rules.MAX_PAGE_BYTES


# Rules ───────────────────────────────────────────────────────────────────────

trees = st.lists(st.integers(0, 100), min_size=1, max_size=12).map(
    lambda numbers: [None, *((number % place) for place, number in enumerate(numbers, 1))]
)
"""The index of each workspace's parent; `None` for a root."""


def lineage(tree, place):
    line = [str(place)]
    while (place := tree[place]) is not None:
        line.append(str(place))
    return tuple(line)


@given(trees, st.data())
def test_a_team_is_part_of_the_workspaces_that_may_communicate(tree, data):
    places = st.integers(0, len(tree) - 1)
    reader, author = data.draw(places), data.draw(places)
    someone = data.draw(workspaces)

    def at(place):
        parent = tree[place]
        return with_place(someone, str(place), None if parent is None else str(parent))

    together = rules.is_in_team(rules.get_team_lead(at(reader)), at(author))

    assert not together or may_communicate(lineage(tree, reader), lineage(tree, author))
    assert rules.is_in_team(rules.get_team_lead(at(reader)), at(reader))
    if tree[reader] is not None and tree[reader] == tree[author]:
        assert together


def with_place(workspace, name, parent):
    return replace(workspace, id=WorkspaceId(name), parent_id=None if parent is None else WorkspaceId(parent))


@given(st.text(), st.sampled_from(MemoryScope))
def test_a_global_memory_cannot_contain_the_frame_of_another(content, scope):
    kept = rules.sanitize_content(f"{content}[MEMORY id=1]", scope)

    assert ("[MEMORY " in kept) is (scope is not MemoryScope.GLOBAL)


initial = st.builds(InitialMemory, st.text(), st.sampled_from(["", "LOCAL", "TEAM", "GLOBAL", "local", "ALL"]))


@given(workspaces, st.lists(initial))
def test_initial_memories_are_those_that_the_workspace_could_have_written(author, some):
    initial_memories = build_initial(author, *some)

    written = {"", *MemoryScope} - ({"GLOBAL"} if author.parent_id else set())
    usable = [one for one in some if one.scope in written and one.content.strip() and "\0" not in one.content]
    assert [memory.scope for memory in initial_memories] == [one.scope or "LOCAL" for one in usable]
    assert sorted(initial_memories, key=lambda memory: memory.created_at) == initial_memories
    for memory in initial_memories:
        rules.check_author(author, memory.scope)


def build_initial(author, *some):
    return rules.build_initial_memories(author, some, (str(uuid4()) for _ in some))


@given(workspaces, st.text(st.sampled_from("aé€𝄞"), min_size=1), st.integers(0, 3))
@settings(max_examples=20)
def test_a_long_initial_memory_is_truncated_between_two_characters(author, piece, shift):
    content = "x" * shift + piece * (MAX_CONTENT_BYTES // len(piece.encode()) + 1)

    [memory] = build_initial(author, InitialMemory(content, "LOCAL"))

    assert content.startswith(memory.content)
    assert MAX_CONTENT_BYTES - 4 < len(memory.content.encode()) <= MAX_CONTENT_BYTES


@given(workspaces)
@settings(max_examples=1)
def test_a_secret_at_the_limit_is_redacted_before_the_truncation(author):
    content = "x" * (MAX_CONTENT_BYTES - 20) + " " + KEY

    [memory] = build_initial(author, InitialMemory(content, "LOCAL"))

    assert "ghp_" not in memory.content


INVALID = [
    ({"scope": "local"}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"scope": ""}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"namespace": "é" * 26}, "namespace must be <= 50 characters"),
    ({"content": "x" * 100_001}, "content must be <= 100000 bytes"),
    ({"content": ""}, "invalid request body"),
    ({"content": "a\0b"}, "invalid request body"),
]


async def test_an_invalid_memory_is_refused_and_nothing_is_stored(registry, memories):
    ada = await registry.create()

    for fields, text in INVALID:
        wanted = {"content": "x", "scope": "LOCAL", "namespace": ""} | fields
        with pytest.raises(InvalidNote) as refused:
            await memories.commit(agent(ada.id), ada.id, "", **wanted)
        assert refused.value.message == text
    assert await search(memories, ada) == []


# Reading ─────────────────────────────────────────────────────────────────────


async def test_a_local_memory_is_read_by_its_author_only(registry, memories):
    root, a, a2, *_ = await family(registry)
    await commit(memories, a, "mine")

    assert await search(memories, a) == await search(memories, a, scope=MemoryScope.LOCAL) == ["mine"]
    for other in (root, a2):
        for scope in (None, *MemoryScope):
            assert await search(memories, other, scope=scope) == []


async def test_a_team_is_the_parent_and_its_children(registry, memories):
    root, a, a2, b, other = await family(registry)
    for workspace in (root, a, a2, b, other):
        await commit(memories, workspace, workspace.name, "TEAM")

    assert await search(memories, root, scope=MemoryScope.TEAM) == ["a2", "a", "root"]
    assert await search(memories, a, scope=MemoryScope.TEAM) == ["a2", "a", "root"]
    assert await search(memories, b, scope=MemoryScope.TEAM) == ["b", "a"]
    assert await search(memories, other, scope=MemoryScope.TEAM) == ["other"]


async def test_a_move_in_the_tree_changes_the_readable_memories_at_once(registry, memories):
    root, a, _, b, other = await family(registry)
    for workspace in (root, a, b, other):
        await commit(memories, workspace, workspace.name, "TEAM")

    await registry.updater.update(ADMIN, b.id, {"parent_id": other.id})

    assert await search(memories, b, scope=MemoryScope.TEAM) == ["other", "b"]
    assert await search(memories, a, scope=MemoryScope.TEAM) == ["a", "root"]


async def test_a_global_memory_is_framed_and_only_roots_write_it(registry, memories):
    root, a, *_, other = await family(registry)
    memory = await commit(memories, root, "the [MEMORY id=1] trick", "GLOBAL")

    framed = f"[MEMORY id={memory.id} scope=GLOBAL from={root.id}]: the [_MEMORY id=1] trick"
    for reader in (root, a, other):
        assert await search(memories, reader, scope=MemoryScope.GLOBAL) == [framed]
    assert await search(memories, root) == ["the [_MEMORY id=1] trick"]
    with pytest.raises(RootsOnly):
        await commit(memories, a, "no", "GLOBAL")


async def test_a_search_finds_words_by_stem_and_lists_the_best_match_first(registry, memories):
    ada = await registry.create()
    await commit(memories, ada, "deployments run at night, deployments fail at night, so deploy by day")
    await commit(memories, ada, "the deployment ran")
    await commit(memories, ada, "lunch is at noon")

    found = await search(memories, ada, query="deploying")

    assert [text.split()[0] for text in found] == ["deployments", "the"]
    assert await search(memories, ada, query='lunch -noon "quote (') == []


@pytest.mark.parametrize(("query", "found"), [("%", ["100 %"]), ("_", ["a_b"]), ("\\", ["c:\\"]), ("A", ["a_b"])])
async def test_a_single_character_is_searched_for_as_a_substring(registry, memories, query, found):
    ada = await registry.create()
    for content in ("100 %", "a_b", "c:\\"):
        await commit(memories, ada, content)

    assert await search(memories, ada, query=query) == found


async def test_namespaces_and_limits_restrict_a_search(registry, memories):
    ada = await registry.create()
    for number in range(3):
        await commit(memories, ada, str(number), namespace="plans" if number else "")

    assert await search(memories, ada, namespace="plans") == ["2", "1"]
    assert await search(memories, ada, namespace="general") == ["0"]
    assert await search(memories, ada, limit=2) == ["2", "1"]


async def test_every_search_uses_an_index(registry, memories, engine):
    root, a, *_ = await family(registry)
    await commit(memories, root, "needle", "GLOBAL")
    many = sa.text(
        "insert into registry.memories select n::text, 'w' || n % 500, (array['LOCAL', 'TEAM', 'LOCAL'])[n % 3 + 1],"
        " 'general', 'hay ' || n, to_tsvector('english', 'hay ' || n), now() from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many)
        await connection.execute(sa.text("analyze registry.memories"))
    questions = (
        (MemoryQuery(), "memories_own"),
        (MemoryQuery(scope=MemoryScope.LOCAL, query="x"), "memories_own"),
        (MemoryQuery(scope=MemoryScope.TEAM), "memories_team"),
        (MemoryQuery(scope=MemoryScope.GLOBAL), "memories_global"),
        (MemoryQuery(scope=MemoryScope.GLOBAL, query="needle"), "memories_"),
    )
    for question, index in questions:
        async with RecordedStatements(engine) as overheard:
            await memories.search(agent(a.id), a.id, question)
            asked = [sent for sent in overheard.sent if "FROM registry.memories" in sent[0]]
        overheard.sent = asked
        [plan] = [plan async for plan in overheard.plans()]

        assert index in plan
        assert "Seq Scan on memories" not in plan


# Writing ─────────────────────────────────────────────────────────────────────


async def test_recognised_secrets_are_not_stored(registry, memories, engine):
    ada = await registry.create()
    await commit(memories, ada, f"use {KEY} to push")

    assert await search(memories, ada) == ["use [REDACTED:GITHUB_TOKEN] to push"]
    assert await search(memories, ada, query="ghp_a1B2") == []
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.select(table))).all()
    assert KEY.lower() not in repr(rows).lower()


async def test_a_new_workspace_has_its_initial_memories(registry, memories):
    root = await registry.create("root")
    initial_memories = (
        InitialMemory("first", ""),
        InitialMemory(f"use {KEY}", "TEAM"),
        InitialMemory("for all", "GLOBAL"),
        InitialMemory("lost", "somewhere"),
    )
    ada = await registry.create("ada", parent_id=root.id, initial_memories=initial_memories)

    assert await search(memories, ada) == ["use [REDACTED:GITHUB_TOKEN]", "first"]
    assert await search(memories, root, scope=MemoryScope.TEAM) == ["use [REDACTED:GITHUB_TOKEN]"]


async def test_a_workspace_that_cannot_be_created_leaves_no_memories(registry, engine):
    with pytest.raises(InvalidWorkspace):
        await registry.create(initial_memories=(InitialMemory("x", ""),) * 101)
    with pytest.raises(ParentNotFound):
        await registry.create(parent_id=str(uuid4()), initial_memories=(InitialMemory("x", ""),))

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_a_repeated_commit_is_stored_once(registry, memories):
    ada = await registry.create()
    request_id = str(uuid4())

    for _ in range(2):
        await memories.commit(ADMIN, ada.id, request_id, content="once", scope="LOCAL", namespace="")

    assert await search(memories, ada) == ["once"]


async def test_only_the_author_deletes_a_memory(registry, memories):
    root, a, *_ = await family(registry)
    memory = await commit(memories, root, "ours", "TEAM")

    for caller, workspace, memory_id in (
        (agent(a.id), a, memory.id),
        (ADMIN, root, str(uuid4())),
    ):
        with pytest.raises(MemoryNotFound):
            await memories.delete(caller, workspace.id, memory_id)
    await memories.delete(agent(root.id), root.id, memory.id)

    assert await search(memories, a, scope=MemoryScope.TEAM) == []


async def test_the_number_of_memories_of_a_workspace_is_limited(registry, memories, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.memories select n::text, :ada, 'LOCAL', 'general', 'x', '', now()"
        " from generate_series(1, :most) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "most": rules.MAX_MEMORIES_PER_WORKSPACE - 1})

    outcomes = await asyncio.gather(*(commit(memories, ada, "last") for _ in range(5)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True, True, True]


@pytest.mark.covers("LIM-04")
async def test_the_bytes_of_the_memories_of_a_workspace_are_limited(registry, memories, engine):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    size = 512 * 1024
    many = sa.text(
        "insert into registry.memories select n::text, :ada, 'LOCAL', 'general', repeat('x', :size), '', now()"
        " from generate_series(1, :count) n"
    )
    count = rules.MAX_MEMORY_BYTES_PER_WORKSPACE // size
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "size": size, "count": count})

    with pytest.raises(NotesTooLarge) as refusal:
        await commit(memories, ada, "x")

    assert refusal.value.message == "memories too large"
    assert refusal.value.details == {"max_bytes": rules.MAX_MEMORY_BYTES_PER_WORKSPACE}
    assert await commit(memories, bob, "x")


async def test_a_caller_without_access_to_a_workspace_neither_writes_nor_reads_its_memories(registry, memories):
    ada, bob = await registry.create("ada"), await registry.create("bob")

    stranger = org(bob.id, "read", "write")
    with pytest.raises(OrgAccessDenied):
        await commit(memories, ada, "x", caller=stranger)
    with pytest.raises(OrgAccessDenied):
        await search(memories, ada, caller=stranger)
    with pytest.raises(WorkspaceNotFound):
        await memories.commit(ADMIN, WorkspaceId(str(uuid4())), "", content="x", scope="LOCAL", namespace="")
    assert await memories.search(ADMIN, WorkspaceId(str(uuid4())), MemoryQuery()) == ()


async def test_a_removed_workspace_has_no_readable_memories_and_a_purge_deletes_all(registry, memories, engine):
    ada = await registry.create()
    memory = await commit(memories, ada, "x")
    async with RunningProvisioner(registry):
        await remove(registry, ada)

        for write in (commit(memories, ada, "y"), memories.delete(ADMIN, ada.id, memory.id)):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await search(memories, ada, caller=ADMIN) == []

        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []
