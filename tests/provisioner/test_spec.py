from dataclasses import replace

import pytest

from services.provisioner import spec
from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, DesiredState, Wish, WorkspaceId

WISH = Wish(
    workspace_id=WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001"),
    generation=3,
    desire=DesiredState.RUNNING,
    runtime="echo",
    adapter_module="molecule_agent.echo",
)
CREDENTIALS = Credentials("the-token", "the-secret")


def test_credentials_and_environment_are_in_no_text_about_the_spec():
    made = spec.build(WISH, CREDENTIALS, environment=(("KEY", "the-value"),))

    assert "the-token" not in str(made.environment)
    for hidden in ("the-token", "the-secret", "the-value"):
        assert hidden not in repr(made)
    assert (made.credentials, made.environment) == (CREDENTIALS, (("KEY", "the-value"),))


def test_a_runtime_that_nothing_can_run_is_refused():
    with pytest.raises(NoAdapter, match="no image for runtime"):
        spec.require_adapter(replace(WISH, adapter_module=""))
