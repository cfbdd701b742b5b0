import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.workspace import card_index
from services.registry.workspace.card_index import CardTerm, CardTermKind, extract_terms, normalize

SKILL, TAG = CardTermKind.SKILL, CardTermKind.TAG

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["skills", "id", "name", "tags", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("limit", "of_the_contract"), [(card_index.MAX_TERMS_PER_CARD, 500), (card_index.MAX_TERM_CHARS, 100)]
)
def test_the_limits_are_those_of_the_contract(limit, of_the_contract):
    assert limit == of_the_contract


@given(values | values.map(lambda value: {"skills": value}))
def test_the_terms_of_any_card_are_distinct_normal_and_within_the_limits(card):
    terms = extract_terms(card)

    assert len(set(terms)) == len(terms) <= card_index.MAX_TERMS_PER_CARD
    assert all(term.text == normalize(term.text) and 0 < len(term.text) <= 100 for term in terms)


def test_the_terms_are_the_ids_names_and_tags_of_the_skills():
    skills = [
        {"id": "Cook-1", "name": " Cooking ", "tags": ["Food", "heat"]},
        {"id": "bake", "description": "bread", "tags": ["food"]},
    ]

    assert extract_terms({"skills": skills, "name": "ada"}) == [
        CardTerm(SKILL, "cook-1"),
        CardTerm(SKILL, "cooking"),
        CardTerm(TAG, "food"),
        CardTerm(TAG, "heat"),
        CardTerm(SKILL, "bake"),
    ]


@pytest.mark.parametrize(
    "card",
    [
        None,
        [],
        "skills",
        {},
        {"skills": None},
        {"skills": {"id": "a"}},
        {"skills": "ab"},
        {"skills": [None, "a", ["b"]]},
        {"skills": [{"id": 1, "name": None, "tags": "ab"}]},
        {"skills": [{"tags": {"a": 1}}]},
        {"skills": [{"id": "", "name": "  ", "tags": ["\t"]}]},
    ],
)
def test_a_card_without_usable_skills_has_no_terms(card):
    assert extract_terms(card) == []


def test_unusable_values_are_skipped_and_later_ones_indexed():
    skills = [3, {"id": None, "name": "a\0b", "tags": ["\ud800", 1, "x"]}, {"id": "b"}]

    assert extract_terms({"skills": skills}) == [CardTerm(TAG, "x"), CardTerm(SKILL, "b")]


@pytest.mark.parametrize(("length", "count"), [(1, 1), (100, 1), (101, 0)])
def test_a_term_has_a_maximum_length_after_its_spaces_are_removed(length, count):
    assert len(extract_terms({"skills": [{"id": f" {'x' * length} "}]})) == count


def test_a_card_has_a_maximum_number_of_terms():
    tags = [f"t{number}" for number in range(501)]

    assert [term.text for term in extract_terms({"skills": [{"tags": tags}]})] == tags[:500]


@given(st.text())
def test_a_normal_text_has_no_spaces_around_it(text):
    assert normalize(text) == normalize(f" {text}\n")
    assert normalize(" ABC ") == "abc"
