from dataclasses import replace

import pytest

from services.provisioner import spec
from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, Desire, Wish, WorkspaceId

WISH = Wish(
    workspace_id=WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001"),
    generation=3,
    desire=Desire.RUNNING,
    runtime="echo",
    adapter_module="molecule_agent.echo",
)
CREDENTIALS = Credentials("the-token", "the-secret")


def environment(wish: Wish) -> dict[str, str]:
    return dict(spec.build(wish, CREDENTIALS, platform_url="http://plane:8080").environment)


@pytest.mark.covers("PROV-24")
@pytest.mark.parametrize(("parent_id", "expected"), [(None, None), ("", None), ("p-1", "p-1")])
def test_the_parent_is_told_only_where_there_is_one(parent_id, expected):
    assert environment(replace(WISH, parent_id=parent_id)).get("PARENT_ID") == expected


def test_an_agent_is_told_who_it_is_and_where_the_plane_is():
    assert environment(replace(WISH, model="some-model")) == {
        "WORKSPACE_ID": WISH.workspace_id,
        "PLATFORM_URL": "http://plane:8080",
        "ADAPTER_MODULE": "molecule_agent.echo",
        "MODEL": "some-model",
    }


def test_credentials_are_in_no_variable_and_in_no_text_about_the_spec():
    made = spec.build(WISH, CREDENTIALS, platform_url="http://plane:8080")

    assert "the-token" not in str(made.environment)
    assert "the-token" not in repr(made)
    assert "the-secret" not in repr(made)
    assert made.credentials == CREDENTIALS


def test_a_runtime_that_nothing_can_run_is_refused():
    with pytest.raises(NoAdapter, match="no image for runtime"):
        spec.require_adapter(replace(WISH, adapter_module=""))
