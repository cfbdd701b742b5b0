"""Lists which requirements have tests: `python -m tests.promises`; the last line is JSON."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

TESTS = Path(__file__).parent
REQUIREMENTS = TESTS.parent / "docs" / "spec" / "requirements.md"

ROW = re.compile(r"^\| ([A-Z][A-Z0-9]*-\d+[a-z]?) \|", re.MULTILINE)
"""A row of the checklist begins with the id of its requirement."""

ROW_TEXT = re.compile(r"^\| ([A-Z][A-Z0-9]*-\d+[a-z]?) \| ([^|]*)", re.MULTILINE)
"""The same with its text."""


def main() -> int:
    """Print each requirement with its test files; return 1 if a test names an id that is not in the checklist."""
    text = REQUIREMENTS.read_text()
    promised, summaries = list_requirements(text), read_summaries(text)
    claimed = collect_claims(TESTS)
    for promise in promised:
        tests = ", ".join(sorted(claimed.get(promise, ()))) or "no test"
        print(f"{promise:<10} {summaries[promise]}: {tests}")  # noqa: T201
    unknown = sorted(claimed.keys() - set(promised))
    for claim in unknown:
        print(f"{', '.join(sorted(claimed[claim]))}: {claim} is not in {REQUIREMENTS.name}", file=sys.stderr)  # noqa: T201
    missing = [promise for promise in promised if promise not in claimed]
    print(json.dumps({"covered": len(promised) - len(missing), "total": len(promised), "missing": missing}))  # noqa: T201
    return 1 if unknown else 0


def list_requirements(text: str) -> list[str]:
    """Return the ids of the checklist in their order."""
    return list(dict.fromkeys(ROW.findall(text)))


def read_summaries(text: str) -> dict[str, str]:
    """Return the beginning of each requirement, by its id."""
    return {
        id_: shorten(words.replace("*", "").replace("`", ""), 60, placeholder="...")
        for id_, words in ROW_TEXT.findall(text)
    }


def collect_claims(folder: Path) -> dict[str, set[str]]:
    """Return the test files that cover each id."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        for claim in _claims_in(ast.parse(path.read_text())):
            found.setdefault(claim, set()).add(str(path.relative_to(folder)))
    return found


def _claims_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="covers"), args=arguments):
                yield from (one.value for one in arguments if isinstance(one, ast.Constant))


if __name__ == "__main__":
    sys.exit(main())
