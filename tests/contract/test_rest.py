"""The contract that machines read and the contract that people read: the same routes, the same statuses."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import documentation
from tests.gateway.all_routes import declare_routes

REST = Path("docs/spec/rest.md")

METHOD = r"(?:GET|POST|PUT|PATCH|DELETE)"

ROW = re.compile(rf"^\| ({METHOD} [^|]*)\|([^|]*)\|(.*)\|$", re.MULTILINE)
"""A line of a table of routes: the routes, their gate, and the rest."""

PROSE = re.compile(rf"^\*\*({METHOD} /[^ *]*)\*\*", re.MULTILINE)
"""A route that a paragraph describes, not a row."""

NAMED = re.compile(rf"(?:({METHOD})(?: or ({METHOD}))? )?(/[^\s,|]*)")

STATUS = re.compile(r"(?<![\d.\-])(?<!<= )(?<!max )(?<!exceeds )(?<!at most )([2-5]\d\d)(?= `|\*\*|[;:, ]|$)")

GENERAL = {400, 401, 403, 404, 410, 413, 421, 429, 500, 503}
"""What sections 3 and 4 let any route answer, without naming it in its row."""


SUCCESS = {101, 200}
"""Statuses of success that a row need not name: 200, and 101 of a WebSocket."""


NOT_YET: set[tuple[str, str]] = {
    # With the provisioner's further backends.
    ("GET", "/workspaces/{}/shared-context"),
}
"""Routes of the first release that are not implemented yet."""


@dataclass(frozen=True, slots=True)
class Promised:
    """A route as docs/spec/rest.md describes it."""

    method: str
    path: str
    later: bool
    statuses: frozenset[int] | None
    """What its row names; `None` for a route that a paragraph describes."""

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path


def promised(text: str) -> dict[tuple[str, str], Promised]:
    """Every route of the document."""
    found = [promise for heading, section in sections(text) for promise in _in_section(heading, section)]
    return {promise.key: promise for promise in found}


def sections(text):
    parts = re.split(r"^(###? .*)$", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _in_section(heading, section):
    for routes, gate, rest in ROW.findall(section):
        later = "T2" in gate or ("T2" in heading and "T1" not in gate)
        statuses = frozenset(int(status) for status in STATUS.findall(rest))
        method = ""
        for one, other, path in NAMED.findall(routes):
            for named in [one or method, *([other] if other else [])]:
                method = named
                yield Promised(named, normal(path), later, statuses)
    for method, path in (route.split(" ", 1) for route in PROSE.findall(section)):
        yield Promised(method, normal(path), later=False, statuses=None)


def normal(path):
    """The path without the names of its parameters; a colon within a step belongs to the path."""
    return re.sub(r"\{[^}]*\}|(?<=/)[:*]\w+", "{}", path)


@pytest.fixture
async def document():
    async with declare_routes() as routes:
        yield documentation.build_document(routes)


def documented(document):
    return {
        (method.upper(), normal(path)): {int(status) for status in operation["responses"] if status != "default"}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


@pytest.mark.covers("GW-05")
def test_every_route_is_promised(document):
    assert set(documented(document)) - set(promised(REST.read_text())) == set()


@pytest.mark.covers("GW-05")
def test_every_promised_route_of_the_first_release_is_there(document):
    first = {promise.key for promise in promised(REST.read_text()).values() if not promise.later}

    assert first - set(documented(document)) <= NOT_YET


@pytest.mark.covers("GW-05")
def test_every_status_of_a_row_is_documented_and_no_other(document):
    known = promised(REST.read_text())
    wrong = {}
    for route, statuses in documented(document).items():
        told = known[route].statuses if route in known else None
        if told is not None:
            missing, surplus = told - statuses, statuses - told - GENERAL - SUCCESS
            if missing or surplus:
                wrong[route] = {"not documented": missing, "not in the row": surplus}

    assert wrong == {}


def test_the_tables_are_read_as_people_read_them():
    text = """## 6. Routes
### 6.1 One
| Route | Gate | Request | Success | Errors |
|---|---|---|---|---|
| GET /a, GET /b/:id (alias) | open T1 | - | `{n:200}` | 404 `x`; 503 `y` |
| POST /b/:id:cancel, POST /b:send | ws T1 | - | `{}` | 400 `x` |
| POST or PUT /c/:id/*path (R) | ws T2 | 1-500 | 201 `{}` | - |
**POST /d/:id** (ws, T1). Answers 409.
### 6.16 Later (T2)
| GET /e | ws | - | - | **412** `{}` |
"""
    assert promised(text) == {
        promise.key: promise
        for promise in (
            Promised("GET", "/a", False, frozenset({404, 503})),
            Promised("GET", "/b/{}", False, frozenset({404, 503})),
            Promised("POST", "/b/{}:cancel", False, frozenset({400})),
            Promised("POST", "/b:send", False, frozenset({400})),
            Promised("POST", "/c/{}/{}", True, frozenset({201})),
            Promised("PUT", "/c/{}/{}", True, frozenset({201})),
            Promised("POST", "/d/{}", False, None),
            Promised("GET", "/e", True, frozenset({412})),
        )
    }
