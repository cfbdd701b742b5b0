"""The code uses the field's standard terms: no metaphors, one name for one thing, sentences that name the actor."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOURCES = (
    "services",
    "gateway",
    "deploy",
    "molecule_agent",
    "molecule_cli",
    "molecule_http",
    "molecule_a2a",
    "bench",
    "chaos",
)

BANNED_WORDS = frozenset(
    {
        *("beats", "bell", "chronicle", "circle", "circles", "deed", "deeds", "door", "doorbell", "drafting", "face"),
        *("felt", "founding", "furnishing", "gathering", "greeting", "hand", "hands", "hearer", "hearers", "heart"),
        *("herald", "heralds", "hiring", "keeper", "keyring", "kit", "kits", "letter", "lives", "neighbour"),
        *("neighbours", "notebook", "offices", "passage", "patience", "pulse", "recipe", "recipes", "refit", "refits"),
        *("routebook", "together", "towns", "turnover", "vaults", "vigil", "vigils", "wish", "wishes"),
    }
)
"""Metaphors that names of modules, classes and functions once contained."""

BANNED_PHRASES = re.compile(
    r"♥|\bwhoever\b|\bwhat is there\b|\bnobody in particular\b|\bis told of\b|\bsomebody who\b|\beverybody who\b",
    re.IGNORECASE,
)
"""Riddling phrases. The published contract keeps its sentences, so docs/spec is not searched."""

MAX_REGISTRY_MODULES = 10
"""Modules in the root of the registry, `__init__` and `__main__` left out."""


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "_pb2" not in path.name and "migrations" not in path.parts:
                yield path


def words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def names(path: Path) -> Iterator[str]:
    """The names that a module introduces: its own, its classes and its functions. Tests are named by sentences."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("test_"):
                yield name


def banned(path: Path) -> list[str]:
    return sorted({name for name in names(path) if words(name) & BANNED_WORDS})


def repeated_classes(folder: str) -> list[str]:
    counted = Counter(
        node.name
        for path in modules(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, count in counted.items() if count > 1)


def test_no_name_is_a_metaphor():
    found = {str(path.relative_to(ROOT)): banned(path) for path in modules(*SOURCES, "tests")}

    assert {path: names for path, names in found.items() if names} == {}


def test_a_metaphor_is_detected(tmp_path):
    module = tmp_path / "keeper.py"
    module.write_text("class WishList:\n    def hear_pulse(self): ...\n\ndef is_handed_over(): ...\n")

    assert banned(module) == ["WishList", "hear_pulse", "keeper"]


def test_no_sentence_is_a_riddle():
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/adr/*.md"),
        *ROOT.glob("protos/*/v1/*.proto"),
    ]
    texts = [path for path in [*modules(*SOURCES, "tests"), *documents] if path != Path(__file__)]

    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if BANNED_PHRASES.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "folder",
    ["services/registry", "services/provisioner", "services/a2a_proxy", "services/auth", "services/chassis", "gateway"],
)
def test_no_two_classes_of_one_service_share_a_name(folder):
    assert repeated_classes(folder) == []


def test_the_root_of_the_registry_holds_few_modules():
    root = [path.stem for path in (ROOT / "services" / "registry").glob("*.py") if not path.stem.startswith("__")]

    assert len(root) <= MAX_REGISTRY_MODULES
