"""The copy that loses messages: it differs from the code in one line."""

import pytest

from chaos.broken_build import RIGHT, ROOT, RULES, WRONG, break_rules


def test_the_copy_ends_busy_messages_as_completed():
    right = (ROOT / RULES).read_text()

    broken = break_rules(right)

    differing = [pair for pair in zip(right.splitlines(), broken.splitlines(), strict=True) if pair[0] != pair[1]]
    assert differing == [(RIGHT.rstrip(), WRONG.rstrip())]


def test_rules_without_the_line_are_noticed():
    with pytest.raises(ValueError, match="has changed"):
        break_rules("nothing")
