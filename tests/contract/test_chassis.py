"""The chassis contains how services run and no concept of the domain."""

import ast
import re
from pathlib import Path

CHASSIS = Path(__file__).parent.parent.parent / "services" / "chassis"

FOREIGN = re.compile(r"\b(heartbeat|instance|container|card|agent|delivery|schedule)s?\b", re.IGNORECASE)

CEILING = 2170
"""Lines of code without docstrings and blank lines. Further code belongs in a service."""


def modules():
    return sorted(path for path in CHASSIS.rglob("*.py"))


def lines_of_code(source):
    """Count the lines with a statement or a part of one, without docstrings."""
    tree = ast.parse(source)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue
        if isinstance(node, ast.stmt | ast.expr) and not isinstance(node, ast.Constant):
            found.update(range(node.lineno, node.lineno + 1))
            found.add(node.end_lineno)
    return len(found)


def test_the_chassis_contains_no_word_of_the_domain():
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert found == []


def test_the_chassis_stays_below_its_size_limit():
    assert sum(lines_of_code(path.read_text()) for path in modules()) <= CEILING


def test_docstrings_do_not_count_as_lines_of_code():
    assert lines_of_code('"""One."""\n\nX = 1\n"""Two\nthree."""\n\n\ndef f():\n    """Four."""\n    return X\n') == 3
