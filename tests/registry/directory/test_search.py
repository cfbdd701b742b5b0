import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import pages
from services.registry.directory.search import Search
from services.registry.workspace import card_index
from services.registry.workspace.card_index import MAX_TERM_CHARS, MAX_TERMS_PER_CARD, CardTerm, CardTermKind
from tests.registry.conftest import ADMIN, agent, org

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["skills", "id", "name", "tags"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(anything)
def test_any_card_has_terms_that_can_be_kept(card):
    found = card_index.extract_terms(card)

    assert len(found) == len(set(found)) <= MAX_TERMS_PER_CARD
    assert all(term.text == card_index.normalize(term.text) and 0 < len(term.text) <= MAX_TERM_CHARS for term in found)


def test_what_the_database_cannot_keep_is_no_term():
    assert card_index.extract_terms({"skills": [{"id": "a\0b", "name": "\ud800", "tags": ["x\udfffy", "hot"]}]}) == [
        CardTerm(CardTermKind.TAG, "hot")
    ]


def test_skills_are_found_by_id_and_name_and_their_tags():
    card = {"skills": [{"id": "Write", "name": " Writes Well ", "tags": ["Prose", "prose", 3, "x" * 101]}, "no skill"]}

    assert card_index.extract_terms(card) == [
        CardTerm(CardTermKind.SKILL, "write"),
        CardTerm(CardTermKind.SKILL, "writes well"),
        CardTerm(CardTermKind.TAG, "prose"),
    ]


def test_of_a_card_with_more_the_first_are_found():
    card = {"skills": [{"id": str(number)} for number in range(MAX_TERMS_PER_CARD + 1)]}

    assert len(card_index.extract_terms(card)) == MAX_TERMS_PER_CARD


def card(name, *tags):
    return json.dumps({"name": name, "skills": [{"id": name, "name": name.title(), "tags": list(tags)}]}).encode()


@pytest.fixture
def search(registry):
    return Search(registry.store)


@pytest.fixture
async def tree(registry):
    """A lead with a writer and a reviewer; below the writer a proofreader; beside the lead a stranger."""
    lead = await registry.create("lead")
    writer = await registry.create("writer", parent_id=lead.id, role="Writes prose")
    made = {
        "lead": lead,
        "writer": writer,
        "reviewer": await registry.create("reviewer", parent_id=lead.id),
        "proofreader": await registry.create("proofreader", parent_id=writer.id),
        "stranger": await registry.create("stranger"),
    }
    for name, tags in (("writer", ["prose", "Draft"]), ("reviewer", ["prose"]), ("stranger", ["prose"])):
        await registry.register(made[name], card=card(name, *tags))
    return made


async def found(search, caller=ADMIN, *, skill="", tag="", text="", size=50):
    page = await search.find(caller, skill=skill, tag=tag, text=text, size=size, token="")
    return [entry.workspace.name for entry in page.entries]


async def test_workspaces_are_found_by_skill_tag_and_text_whatever_the_case(search, tree):
    assert await found(search, skill="WRITER") == ["writer"]
    assert await found(search, tag=" Prose ") == ["reviewer", "stranger", "writer"]
    assert await found(search, tag="prose", text="WRITES") == ["writer"]
    assert await found(search, tag="prose", skill="lead") == []
    assert await found(search, text="er") == ["proofreader", "reviewer", "stranger", "writer"]
    assert await found(search, text="%") == []


async def test_who_searches_finds_whom_it_may_know(search, tree):
    assert await found(search, agent(tree["proofreader"].id)) == ["lead", "proofreader", "writer"]
    assert await found(search, agent(tree["writer"].id), tag="prose") == ["reviewer", "writer"]
    assert await found(search, org(tree["lead"].id, "read"), tag="prose") == ["reviewer", "writer"]
    assert await found(search, agent("00000000-0000-4000-8000-000000000000")) == []


async def test_a_new_card_replaces_what_could_be_found(registry, search, tree):
    await registry.cards.update(agent(tree["writer"].id, 1), tree["writer"].id, card("poet", "verse"))

    assert await found(search, skill="writer") == []
    assert await found(search, skill="poet", tag="verse") == ["writer"]


async def test_pages_follow_one_another_without_gaps(search, tree):
    names, token = [], ""
    for _ in range(3):
        page = await search.find(ADMIN, skill="", tag="prose", text="", size=1, token=token)
        names += [entry.workspace.name for entry in page.entries]
        token = page.next
    last = await search.find(ADMIN, skill="", tag="prose", text="", size=1, token=token)

    assert names == ["reviewer", "stranger", "writer"]
    assert (last.entries, last.next) == ([], "")
    with pytest.raises(pages.InvalidPageToken):
        await search.find(ADMIN, skill="", tag="", text="", size=1, token="forged")
