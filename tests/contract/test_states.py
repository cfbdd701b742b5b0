"""docs/states.md agrees with the state machine."""

from services.registry.workspace import facts
from services.registry.workspace.model import Reason, Status
from tests import states
from tests.registry.workspace.test_state_machine import TABLE


def test_the_page_is_generated_from_the_state_machine():
    assert states.PAGE.read_text() == states.render_page(), "run make states"


def test_every_kind_of_fact_is_applied():
    assert {type(fact) for fact in states.FACTS} == set(facts.Fact.__args__)


def test_every_reason_except_creation_occurs_in_a_change():
    assert {change.reason for change in states.list_changes()} == set(Reason) - {Reason.CREATED}


def test_the_changes_agree_with_the_table_of_the_contract():
    found = {status: {change.to for change in states.list_changes() if change.before is status} for status in Status}

    assert {status: to - {status} for status, to in found.items()} == {
        status: to - {status} for status, to in TABLE.items()
    }
