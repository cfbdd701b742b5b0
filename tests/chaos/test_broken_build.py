"""The copy that loses messages: it differs from the code in one line, and the code is left alone."""

from chaos.broken_build import RIGHT, ROOT, RULES, WRONG, copy_broken


def test_the_copy_ends_busy_messages_as_completed_and_the_code_does_not(tmp_path):
    copy_broken(tmp_path)

    text = (ROOT / RULES).read_text()
    assert (tmp_path / RULES).read_text() == text.replace(RIGHT, WRONG) != text
