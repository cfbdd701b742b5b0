import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.pages import InvalidPageToken, encode_page_token
from services.registry.errors.workspaces import InvalidValue, OrgAccessDenied, WorkspaceNotFound, WorkspaceRemoved
from services.registry.notes.errors import InstructionNotFound, InvalidNote, PlatformAdminRequired, TooManyNotes
from services.registry.notes.instructions import rules as notes
from services.registry.notes.instructions.rules import Draft, Instruction
from services.registry.notes.instructions.service import Instructions
from services.registry.notes.instructions.tables import instructions as table
from tests.registry.conftest import ADMIN, ANONYMOUS, agent, org
from tests.registry.lifecycle.test_removal import Working, remove
from tests.registry.store.test_tables import Overheard
from tests.registry.strategies import NOW

DRAFT = Draft(scope="global", target="", title="t", content="c", priority=0)


@pytest.fixture
def instructions(registry):
    return Instructions(registry.store, clock=registry.clock)


async def tell(instructions, workspace=None, caller=ADMIN, **said):
    instructions._clock.advance(seconds=1)
    whom = {"scope": "workspace", "target": workspace.id} if workspace else {}
    return await instructions.create(caller, "", replace(DRAFT, **whom | said))


async def listed(instructions, caller=ADMIN, scope="", target="", size=100):
    titles, token = [], ""
    while True:
        page = await instructions.list(caller, scope=scope, target=target, size=size, token=token)
        titles += [one.title for one in page.instructions]
        token = page.next
        if not token:
            return titles


some = st.builds(
    Instruction,
    id=st.uuids().map(str),
    target=st.none(),
    title=st.text(min_size=1),
    content=st.text(min_size=1),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
)


@given(st.lists(some))
def test_every_instruction_is_a_section_with_a_title_of_one_line(instructions):
    told = notes.resolved(instructions)

    heads = [f"## {' '.join(one.title.split())}" for one in instructions]
    place = -1
    for head in heads:
        place = told.index(head, place + 1)
    assert (told == "") is (not instructions)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"scope": ""}, "scope, title, and content are required"),
        ({"title": " "}, "scope, title, and content are required"),
        ({"content": ""}, "scope, title, and content are required"),
        ({"scope": "team"}, "scope must be global or workspace (team scope not yet supported)"),
        ({"scope": "workspace"}, "scope_target required for workspace scope"),
        ({"content": "é" * 8193}, "content exceeds 8192 chars"),
        ({"title": "é" * 201}, "title exceeds 200 chars"),
    ],
)
def test_what_nobody_can_be_told_is_refused(said, text):
    with pytest.raises(InvalidNote) as refused:
        notes.target_of(replace(DRAFT, **said))

    assert refused.value.message == text


def test_the_longest_texts_are_counted_in_characters():
    assert notes.target_of(replace(DRAFT, title="é" * 200, content="é" * 8192)) is None


async def test_an_agent_is_told_what_is_for_everybody_and_then_what_is_for_it(registry, instructions):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    await tell(instructions, ada, title="own", content="be kind\n")
    await tell(instructions, title="low")
    await tell(instructions, title="high", priority=9)
    off = await tell(instructions, title="off", priority=99)
    await tell(instructions, bob, title="bob's")

    await instructions.update(ADMIN, off.id, {"enabled": False})

    told = "## high\n\nc\n\n## low\n\nc\n\n## own\n\nbe kind"
    assert await instructions.resolve(agent(ada.id), ada.id) == told
    assert await listed(instructions) == ["off", "high", "low", *sorted(["own", "bob's"], key=by(ada, bob))]
    assert await listed(instructions, scope="global") == ["off", "high", "low"]
    assert await listed(instructions, scope="workspace", target=bob.id) == ["bob's"]
    assert await listed(instructions, scope="global", target=bob.id) == []


def by(ada, bob):
    return {"own": ada.id, "bob's": bob.id}.get


async def test_nobody_is_told_nothing(registry, instructions):
    ada = await registry.create()

    assert await instructions.resolve(agent(ada.id), ada.id) == ""
    with pytest.raises(WorkspaceNotFound):
        await instructions.resolve(ADMIN, str(uuid4()))


async def test_a_list_goes_on_where_it_stopped(registry, instructions):
    ada = await registry.create()
    for number in range(3):
        await tell(instructions, title=f"g{number}", priority=number)
        await tell(instructions, ada, title=f"w{number}", priority=-number)

    whole = ["g2", "g1", "g0", "w0", "w1", "w2"]
    for size in (1, 2, 3, 6, 7):
        assert await listed(instructions, size=size) == whole
    for token in (
        "x",
        encode_page_token(["", "one", "2026", "i"]),
        encode_page_token(["", "1", "soon", "i"]),
        encode_page_token(["only"]),
    ):
        with pytest.raises(InvalidPageToken):
            await instructions.list(ADMIN, scope="", target="", size=1, token=token)


async def test_what_is_for_everybody_is_the_platforms(registry, instructions):
    ada, bob = await registry.create("ada"), await registry.create("bob")
    token = org(ada.id, "admin")
    everybody, bobs = await tell(instructions), await tell(instructions, bob)

    with pytest.raises(PlatformAdminRequired):
        await tell(instructions, caller=token)
    for change in (instructions.update(token, everybody.id, {"title": "x"}), instructions.delete(token, everybody.id)):
        with pytest.raises(PlatformAdminRequired):
            await change
    for change in (tell(instructions, bob, token), instructions.delete(token, bobs.id)):
        with pytest.raises(OrgAccessDenied):
            await change
    own = await tell(instructions, ada, token, title="own")
    assert await listed(instructions, token) == ["own"]
    assert await listed(instructions, token, scope="global") == []
    await instructions.update(token, own.id, {"title": "better", "priority": 3})
    assert await listed(instructions, token) == ["better"]
    await instructions.delete(ANONYMOUS, everybody.id)
    assert await listed(instructions, scope="global") == []


async def test_a_change_writes_what_it_names_or_nothing(registry, instructions):
    made = await tell(instructions, title="t", priority=1)
    registry.clock.advance(seconds=5)

    now = await instructions.update(ADMIN, made.id, {"content": "d"})

    assert now == replace(made, content="d", updated_at=made.updated_at + timedelta(seconds=5))
    for wanted, error in (
        ({"title": ""}, InvalidNote),
        ({"content": "x" * 8193, "title": "y"}, InvalidNote),
        ({"id": "x"}, InvalidValue),
    ):
        with pytest.raises(error):
            await instructions.update(ADMIN, made.id, wanted)
    assert await listed(instructions) == ["t"]
    for gone in (instructions.update(ADMIN, str(uuid4()), {"title": "x"}), instructions.delete(ADMIN, str(uuid4()))):
        with pytest.raises(InstructionNotFound):
            await gone


async def test_a_workspace_has_so_many_and_no_more(registry, instructions):
    ada = await registry.create()
    for _ in range(notes.MOST - 1):
        await tell(instructions, ada)

    outcomes = await asyncio.gather(*(tell(instructions, ada) for _ in range(3)), return_exceptions=True)

    assert sorted(isinstance(outcome, TooManyNotes) for outcome in outcomes) == [False, True, True]


async def test_a_request_that_is_repeated_adds_one(registry, instructions):
    for _ in range(2):
        await instructions.create(ADMIN, "r", DRAFT)

    assert await listed(instructions) == ["t"]


async def test_a_removed_workspace_is_told_nothing_new_and_a_purge_leaves_nothing_of_it(registry, instructions, engine):
    ada = await registry.create()
    await tell(instructions, title="for all")
    own = await tell(instructions, ada)
    async with Working(registry):
        await remove(registry, ada)

        for write in (tell(instructions, ada), instructions.update(ADMIN, own.id, {"title": "x"})):
            with pytest.raises(WorkspaceRemoved):
                await write
        await remove(registry, ada, purge=True)

    async with engine.connect() as connection:
        assert list((await connection.execute(sa.select(table.c.title))).scalars()) == ["for all"]


async def test_every_question_is_answered_by_an_index(registry, instructions, engine):
    ada = await registry.create()
    many = sa.text(
        "insert into registry.instructions select n::text, 'w' || n % 500, -n, 't', 'c', true, now(), now()"
        " from generate_series(1, 5000) n"
    )
    async with engine.begin() as connection:
        await connection.execute(many)
        await connection.execute(sa.text("analyze registry.instructions"))
    for question in (
        instructions.resolve(ADMIN, ada.id),
        instructions.list(ADMIN, scope="", target=ada.id, size=50, token=""),
        instructions.list(
            ADMIN, scope="", target="", size=50, token=encode_page_token(["w7", "-7", "2026-01-01", "7"])
        ),
    ):
        async with Overheard(engine) as overheard:
            await question
            asked = [sent for sent in overheard.sent if "FROM registry.instructions" in sent[0]]
        overheard.sent = asked
        [plan] = [plan async for plan in overheard.plans()]

        assert "instructions_order" in plan
        assert "Seq Scan" not in plan
