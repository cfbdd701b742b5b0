"""The copies of the code that chaos has to notice: each differs from the code in one line."""

import pytest

from chaos.broken_build import DEFECTS, ROOT, RULES, break_rules


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_changes_one_line(defect):
    right = (ROOT / RULES).read_text()

    broken = break_rules(right, defect)

    pairs = zip(right.splitlines(), broken.splitlines(), strict=True)
    assert len([pair for pair in pairs if pair[0] != pair[1]]) == 1


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_rules_without_the_code_to_break_are_refused(defect):
    with pytest.raises(ValueError, match="has changed"):
        break_rules("nothing", defect)
