"""The page about statuses says what the state machine does."""

from services.registry.workspace import facts
from services.registry.workspace.model import Reason, Status
from tests import states
from tests.registry.workspace.test_state_machine import TABLE


def test_the_page_says_what_the_state_machine_does():
    assert states.PAGE.read_text() == states.page(), "run make states"


def test_every_kind_of_fact_is_tried():
    assert {type(fact) for fact in states.FACTS} == set(facts.Fact.__args__)


def test_every_reason_but_that_of_the_beginning_is_met():
    assert {change.reason for change in states.changes()} == set(Reason) - {Reason.CREATED}


def test_the_changes_lead_where_the_table_of_the_contract_leads():
    found = {status: {change.to for change in states.changes() if change.before is status} for status in Status}

    assert {status: to - {status} for status, to in found.items()} == {
        status: to - {status} for status, to in TABLE.items()
    }
