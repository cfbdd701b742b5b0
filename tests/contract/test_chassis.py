"""The chassis knows how a service runs, and nothing of what it is about."""

import ast
import re
from pathlib import Path

CHASSIS = Path(__file__).parent.parent.parent / "services" / "chassis"

FOREIGN = re.compile(r"\b(heartbeat|instance|container|card|agent|delivery|schedule)s?\b", re.IGNORECASE)

CEILING = 1510
"""Lines of code, docstrings and blank lines aside. What does not fit belongs into a service."""


def modules():
    return sorted(path for path in CHASSIS.rglob("*.py"))


def lines_of_code(source):
    """The lines on which a statement or a part of one stands, docstrings aside."""
    tree = ast.parse(source)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue
        if isinstance(node, ast.stmt | ast.expr) and not isinstance(node, ast.Constant):
            found.update(range(node.lineno, node.lineno + 1))
            found.add(node.end_lineno)
    return len(found)


def test_no_word_of_the_domain_is_spoken():
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert found == []


def test_it_stays_small():
    assert sum(lines_of_code(path.read_text()) for path in modules()) <= CEILING


def test_docstrings_do_not_count():
    assert lines_of_code('"""One."""\n\nX = 1\n"""Two\nthree."""\n\n\ndef f():\n    """Four."""\n    return X\n') == 3
