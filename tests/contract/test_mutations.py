"""The mutations of a syntax tree, on small modules."""

import ast

import pytest

from tests.mutations import find_mutations


def ids(text):
    return [mutation.id for mutation in find_mutations(ast.parse(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(a):\n    return a < 3", "f: a < 3 -> a <= 3"),
        ("def f(a, b):\n    return a and b", "f: a and b -> a or b"),
        ("def f(a):\n    if a:\n        g()", "f: a -> not a"),
        ("def f(a):\n    return not a", "f: not a -> a"),
        ("def f(a):\n    return a + 1", "f: a + 1 -> a - 1"),
        ("def f(a):\n    return a + 1", "f: a + 1 -> a + 2"),
        ("def f(a):\n    return g(a)", "f: return g(a) -> return None"),
        ("def f(a):\n    g(a)", "f: g(a) -> (removed)"),
        ("def f(a):\n    return a == 'x'", "f: a == 'x' -> a == 'XXx'"),
        (
            "def f(a):\n    match a:\n        case 1:\n            g()\n        case _:\n            h()",
            "f: case 1 -> (removed)",
        ),
        ("TABLE = {1: 2}\ndef f(): ...", "module: dict with 1 -> without"),
        ("LIMIT = 4 * 1024\ndef f(): ...", "module: LIMIT = 4 * 1024 -> LIMIT = 4 * 1024 + 1"),
        ("class A:\n    def f(self):\n        self.x = 1", "A.f: self.x = 1 -> (removed)"),
    ],
)
def test_a_change_is_found_and_named_by_its_text(text, expected):
    assert expected in ids(text)


def test_an_id_stays_when_lines_move():
    text = "def f(a):\n    return a < 3\n"
    assert ids(text) == ids("# A comment.\n\n\n" + text.replace("    return", "\n    return"))


def test_equal_ids_of_one_function_are_numbered():
    found = ids("def f(a):\n    g(a)\n    g(a)")
    assert found == ["f: g(a) -> (removed)", "f: g(a) -> (removed) #2"]


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Words."""',
        "def f(a: 'X', *, b: int | None) -> 'Y': ...",
        "def f(a):\n    raise ValueError('text', 3)",
        "def f(a):\n    assert_never(a)",
        "@decorated(3)\ndef f(): ...",
        "LIMIT = 3",
    ],
)
def test_code_without_a_decision_is_not_mutated(text):
    assert not [name for name in ids(text) if "(removed)" not in name]


def test_a_mutation_changes_the_tree_and_is_undone():
    tree = ast.parse("def f(a):\n    return a < 3")
    before = ast.dump(tree)
    for mutation in find_mutations(tree):
        mutation.apply()
        assert ast.dump(tree) != before
        compile(ast.fix_missing_locations(tree), "mutant", "exec")
        mutation.undo()
        assert ast.dump(tree) == before
