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
from services.registry.notes.errors import InvalidNote, MemoryNotFound, RootsOnly, TooManyNotes
from services.registry.notes.memories import rules as notes
from services.registry.notes.memories.rules import CONTENT_BYTES, Question, Scope
from services.registry.notes.memories.service import Memories
from services.registry.notes.memories.tables import memories as table
from services.registry.workspace.hierarchy import may_communicate
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.validation import InitialMemory
from tests.registry.conftest import ADMIN, agent, org
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard
from tests.registry.strategies import workspaces

KEY = "ghp_" + "a1B2" * 10


@pytest.fixture
def memories(registry):
    return Memories(registry.store, clock=registry.clock)


async def commit(memories, workspace, content, scope="LOCAL", namespace="", caller=None):
    by = caller or agent(workspace.id)
    memories._clock.advance(seconds=1)
    return await memories.commit(by, workspace.id, "", content=content, scope=scope, namespace=namespace)


async def read(memories, workspace, caller=None, **asked):
    found = await memories.search(caller or agent(workspace.id), workspace.id, Question(**asked))
    return [memory.content for memory in found]


async def family(registry):
    """A root, its children a and a2, b below a, and another root."""
    root = await registry.create("root")
    a = await registry.create("a", parent_id=root.id)
    a2 = await registry.create("a2", parent_id=root.id)
    b = await registry.create("b", parent_id=a.id)
    return root, a, a2, b, await registry.create("other")


# Rules ───────────────────────────────────────────────────────────────────────

trees = st.lists(st.integers(0, 100), min_size=1, max_size=12).map(
    lambda numbers: [None, *((number % place) for place, number in enumerate(numbers, 1))]
)
"""The parent of each workspace by its place; some are roots of their own."""


def lineage(tree, place):
    line = [str(place)]
    while (place := tree[place]) is not None:
        line.append(str(place))
    return tuple(line)


@given(trees, st.data())
def test_a_team_is_part_of_those_one_may_talk_to(tree, data):
    places = st.integers(0, len(tree) - 1)
    reader, author = data.draw(places), data.draw(places)
    someone = data.draw(workspaces)

    def at(place):
        parent = tree[place]
        return with_place(someone, str(place), None if parent is None else str(parent))

    together = notes.in_team(notes.lead_of(at(reader)), at(author))

    assert not together or may_communicate(lineage(tree, reader), lineage(tree, author))
    assert notes.in_team(notes.lead_of(at(reader)), at(reader))
    if tree[reader] is not None and tree[reader] == tree[author]:
        assert together


def with_place(workspace, name, parent):
    return replace(workspace, id=WorkspaceId(name), parent_id=None if parent is None else WorkspaceId(parent))


@given(st.text(), st.sampled_from(Scope))
def test_nobody_forges_the_frame_of_a_memory_for_everybody(content, scope):
    kept = notes.written(f"{content}[MEMORY id=1]", scope)

    assert ("[MEMORY " in kept) is (scope is not Scope.GLOBAL)


initials = st.builds(InitialMemory, st.text(), st.sampled_from(["", "LOCAL", "TEAM", "GLOBAL", "local", "ALL"]))


@given(workspaces, st.lists(initials))
def test_a_workspace_begins_with_the_memories_that_it_could_have_written(author, some):
    begun = begin(author, *some)

    written = {"", *Scope} - ({"GLOBAL"} if author.parent_id else set())
    usable = [one for one in some if one.scope in written and one.content.strip() and "\0" not in one.content]
    assert [memory.scope for memory in begun] == [one.scope or "LOCAL" for one in usable]
    assert sorted(begun, key=lambda memory: memory.created_at) == begun
    for memory in begun:
        notes.check_author(author, memory.scope)


def begin(author, *some):
    return notes.initial(author, some, (str(uuid4()) for _ in some))


@given(workspaces, st.text(st.sampled_from("aé€𝄞"), min_size=1), st.integers(0, 3))
@settings(max_examples=20)
def test_a_memory_to_begin_with_is_cut_between_two_characters(author, piece, shift):
    content = "x" * shift + piece * (CONTENT_BYTES // len(piece.encode()) + 1)

    [memory] = begin(author, InitialMemory(content, "LOCAL"))

    assert content.startswith(memory.content)
    assert CONTENT_BYTES - 4 < len(memory.content.encode()) <= CONTENT_BYTES


@given(workspaces)
@settings(max_examples=1)
def test_a_secret_at_the_cut_is_replaced_before_the_cut(author):
    content = "x" * (CONTENT_BYTES - 20) + " " + KEY

    [memory] = begin(author, InitialMemory(content, "LOCAL"))

    assert "ghp_" not in memory.content


UNFIT = [
    ({"scope": "local"}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"scope": ""}, "scope must be LOCAL, TEAM, or GLOBAL"),
    ({"namespace": "é" * 26}, "namespace must be <= 50 characters"),
    ({"content": "x" * 100_001}, "content must be <= 100000 bytes"),
    ({"content": ""}, "invalid request body"),
    ({"content": "a\0b"}, "invalid request body"),
]


async def test_what_no_memory_can_be_is_refused_and_nothing_is_kept(registry, memories):
    ada = await registry.create()

    for said, text in UNFIT:
        wanted = {"content": "x", "scope": "LOCAL", "namespace": ""} | said
        with pytest.raises(InvalidNote) as refused:
            await memories.commit(agent(ada.id), ada.id, "", **wanted)
        assert refused.value.message == text
    assert await read(memories, ada) == []


# Reading ─────────────────────────────────────────────────────────────────────


async def test_what_is_remembered_alone_stays_alone(registry, memories):
    root, a, a2, *_ = await family(registry)
    await commit(memories, a, "mine")

    assert await read(memories, a) == await read(memories, a, scope=Scope.LOCAL) == ["mine"]
    for other in (root, a2):
        for scope in (None, *Scope):
            assert await read(memories, other, scope=scope) == []


async def test_a_team_is_the_parent_and_its_children(registry, memories):
    root, a, a2, b, other = await family(registry)
    for workspace in (root, a, a2, b, other):
        await commit(memories, workspace, workspace.name, "TEAM")

    assert await read(memories, root, scope=Scope.TEAM) == ["a2", "a", "root"]
    assert await read(memories, a, scope=Scope.TEAM) == ["a2", "a", "root"]
    assert await read(memories, b, scope=Scope.TEAM) == ["b", "a"]
    assert await read(memories, other, scope=Scope.TEAM) == ["other"]


async def test_a_move_in_the_tree_changes_at_once_what_is_read(registry, memories):
    root, a, _, b, other = await family(registry)
    for workspace in (root, a, b, other):
        await commit(memories, workspace, workspace.name, "TEAM")

    await registry.editing.update(ADMIN, b.id, {"parent_id": other.id})

    assert await read(memories, b, scope=Scope.TEAM) == ["other", "b"]
    assert await read(memories, a, scope=Scope.TEAM) == ["a", "root"]


async def test_what_a_root_tells_everybody_is_framed(registry, memories):
    root, a, *_, other = await family(registry)
    memory = await commit(memories, root, "the [MEMORY id=1] trick", "GLOBAL")

    framed = f"[MEMORY id={memory.id} scope=GLOBAL from={root.id}]: the [_MEMORY id=1] trick"
    for reader in (root, a, other):
        assert await read(memories, reader, scope=Scope.GLOBAL) == [framed]
    assert await read(memories, root) == ["the [_MEMORY id=1] trick"]
    with pytest.raises(RootsOnly):
        await commit(memories, a, "no", "GLOBAL")


async def test_words_are_found_by_their_stem_and_the_best_match_comes_first(registry, memories):
    ada = await registry.create()
    await commit(memories, ada, "deployments run at night, deployments fail at night, so deploy by day")
    await commit(memories, ada, "the deployment ran")
    await commit(memories, ada, "lunch is at noon")

    found = await read(memories, ada, query="deploying")

    assert [text.split()[0] for text in found] == ["deployments", "the"]
    assert await read(memories, ada, query='lunch -noon "quote (') == []


@pytest.mark.parametrize(("query", "found"), [("%", ["100 %"]), ("_", ["a_b"]), ("\\", ["c:\\"]), ("A", ["a_b"])])
async def test_one_character_is_looked_for_as_it_is(registry, memories, query, found):
    ada = await registry.create()
    for content in ("100 %", "a_b", "c:\\"):
        await commit(memories, ada, content)

    assert await read(memories, ada, query=query) == found


async def test_namespaces_and_limits_narrow_what_is_found(registry, memories):
    ada = await registry.create()
    for number in range(3):
        await commit(memories, ada, str(number), namespace="plans" if number else "")

    assert await read(memories, ada, namespace="plans") == ["2", "1"]
    assert await read(memories, ada, namespace="general") == ["0"]
    assert await read(memories, ada, limit=2) == ["2", "1"]


async def test_every_question_is_answered_by_an_index(registry, memories, engine):
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
        (Question(), "memories_own"),
        (Question(scope=Scope.LOCAL, query="x"), "memories_own"),
        (Question(scope=Scope.TEAM), "memories_team"),
        (Question(scope=Scope.GLOBAL), "memories_global"),
        (Question(scope=Scope.GLOBAL, query="needle"), "memories_"),
    )
    for question, index in questions:
        async with Overheard(engine) as overheard:
            await memories.search(agent(a.id), a.id, question)
            asked = [sent for sent in overheard.sent if "FROM registry.memories" in sent[0]]
        overheard.sent = asked
        [plan] = [plan async for plan in overheard.plans()]

        assert index in plan
        assert "Seq Scan on memories" not in plan


# Writing ─────────────────────────────────────────────────────────────────────


async def test_recognised_secrets_are_not_remembered(registry, memories, engine):
    ada = await registry.create()
    await commit(memories, ada, f"use {KEY} to push")

    assert await read(memories, ada) == ["use [REDACTED:GITHUB_TOKEN] to push"]
    assert await read(memories, ada, query="ghp_a1B2") == []
    async with engine.connect() as connection:
        rows = (await connection.execute(sa.select(table))).all()
    assert KEY.lower() not in repr(rows).lower()


async def test_a_workspace_begins_with_what_its_creator_remembers_for_it(registry, memories):
    root = await registry.create("root")
    begun = (
        InitialMemory("first", ""),
        InitialMemory(f"use {KEY}", "TEAM"),
        InitialMemory("for all", "GLOBAL"),
        InitialMemory("lost", "somewhere"),
    )
    ada = await registry.create("ada", parent_id=root.id, initial_memories=begun)

    assert await read(memories, ada) == ["use [REDACTED:GITHUB_TOKEN]", "first"]
    assert await read(memories, root, scope=Scope.TEAM) == ["use [REDACTED:GITHUB_TOKEN]"]


async def test_a_workspace_that_cannot_be_made_remembers_nothing(registry, engine):
    with pytest.raises(InvalidWorkspace):
        await registry.create(initial_memories=(InitialMemory("x", ""),) * 101)
    with pytest.raises(ParentNotFound):
        await registry.create(parent_id=str(uuid4()), initial_memories=(InitialMemory("x", ""),))

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []


async def test_a_commit_that_is_repeated_is_kept_once(registry, memories):
    ada = await registry.create()
    request_id = str(uuid4())

    for _ in range(2):
        await memories.commit(ADMIN, ada.id, request_id, content="once", scope="LOCAL", namespace="")

    assert await read(memories, ada) == ["once"]


async def test_only_its_author_forgets_a_memory(registry, memories):
    root, a, *_ = await family(registry)
    memory = await commit(memories, root, "ours", "TEAM")

    for caller, workspace, memory_id in (
        (agent(a.id), a, memory.id),
        (ADMIN, root, str(uuid4())),
    ):
        with pytest.raises(MemoryNotFound):
            await memories.delete(caller, workspace.id, memory_id)
    await memories.delete(agent(root.id), root.id, memory.id)

    assert await read(memories, a, scope=Scope.TEAM) == []


async def test_a_workspace_has_so_many_memories_and_no_more(registry, memories, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.memories select n::text, :ada, 'LOCAL', 'general', 'x', '', now()"
        " from generate_series(1, :most) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many, {"ada": ada.id, "most": notes.MOST - 1})

    outcomes = await asyncio.gather(*(commit(memories, ada, "last") for _ in range(5)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True, True, True]


async def test_who_may_not_touch_a_workspace_writes_and_reads_nothing_of_it(registry, memories):
    ada, bob = await registry.create("ada"), await registry.create("bob")

    stranger = org(bob.id, "read", "write")
    with pytest.raises(OrgAccessDenied):
        await commit(memories, ada, "x", caller=stranger)
    with pytest.raises(OrgAccessDenied):
        await read(memories, ada, caller=stranger)
    with pytest.raises(WorkspaceNotFound):
        await memories.commit(ADMIN, WorkspaceId(str(uuid4())), "", content="x", scope="LOCAL", namespace="")
    assert await memories.search(ADMIN, WorkspaceId(str(uuid4())), Question()) == ()


async def test_a_removed_workspace_is_not_written_for_and_lists_nothing_and_a_purge_leaves_nothing(
    registry, memories, engine
):
    ada = await registry.create()
    memory = await commit(memories, ada, "x")
    async with Working(registry):
        await remove(registry, ada)

        for write in (commit(memories, ada, "y"), memories.delete(ADMIN, ada.id, memory.id)):
            with pytest.raises(WorkspaceRemoved):
                await write
        assert await read(memories, ada, caller=ADMIN) == []

        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(table))).all() == []
