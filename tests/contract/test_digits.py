"""Texts become numbers only if they have ASCII digits: Python also counts digits of other scripts, and superscripts."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("services", "gateway", "deploy", "molecule_agent", "molecule_cli", "molecule_http", "molecule_a2a")

CHECK = re.compile(r"(?P<text>[\w.\[\]]+)\.is(digit|decimal|numeric)\(\)")
BYTES = {"gateway/request_context.py": "value"}
"""Checks of bytes, which have ASCII digits only."""

UNICODE_DIGIT = re.compile(r're\.compile\(r?f?"[^"]*\\d[^"]*"(?![^)]*re\.ASCII)')


def test_every_check_of_digits_is_one_of_ascii():
    found = []
    for path in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for line in path.read_text().splitlines():
            for match in CHECK.finditer(line):
                text = match["text"]
                if f"{text}.isascii()" not in line and BYTES.get(name) != text:
                    found.append(f"{name}: {line.strip()}")

    assert found == []


def test_every_pattern_of_digits_is_one_of_ascii():
    allowed = {"deploy/progress.py"}  # it reads lines that the plane itself has written
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in allowed
        for line in path.read_text().splitlines()
        if UNICODE_DIGIT.search(line)
    ]

    assert found == []
