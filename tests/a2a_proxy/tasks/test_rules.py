from hypothesis import given
from hypothesis import strategies as st

from services.a2a_proxy.tasks.model import OPERATOR, TaskOwner
from services.a2a_proxy.tasks.rules import (
    may_see,
    may_use,
    sees_all,
)

WORKSPACES = st.builds(TaskOwner, st.sampled_from(["w1", "w2"]))
TOKENS = st.builds(TaskOwner, st.none(), st.sampled_from(["o1", "o2"]))
OWNERS = WORKSPACES | TOKENS | st.just(OPERATOR)
ORGS = st.sampled_from(["o1", "o2", None])


@given(OWNERS, ORGS)
def test_an_operator_sees_all_tasks(owner, org_id):
    assert may_see(OPERATOR, owner, org_id)
    assert sees_all(OPERATOR)


@given(WORKSPACES, OWNERS, ORGS)
def test_a_workspace_sees_its_own_tasks_only(caller, owner, org_id):
    assert may_see(caller, owner, org_id) == (caller == owner)
    assert not sees_all(caller)


@given(TOKENS, OWNERS, ORGS)
def test_a_token_sees_the_tasks_of_its_organisation(caller, owner, org_id):
    belongs_to = org_id if owner.workspace_id else owner.org_id

    assert may_see(caller, owner, org_id) == (belongs_to == caller.org_id)
    assert not sees_all(caller)


@given(
    st.sampled_from(["tasks/get", "SendMessage", "message/stream", "tasks/x", "CancelTask"]),
    OWNERS,
    st.dictionaries(st.sampled_from("abc"), st.booleans()),
)
def test_nobody_uses_a_task_of_another_owner_and_no_workspace_asks_for_an_unknown_one(method, caller, visible):
    ids = ["a", "b"]
    may = may_use(method, caller, ids, visible)

    if not all(visible.get(id_, True) for id_ in ids):
        assert not may
    elif all(id_ in visible for id_ in ids) or caller.workspace_id is None:
        assert may
    else:
        assert may == (method in {"SendMessage", "message/stream", "tasks/x"})
