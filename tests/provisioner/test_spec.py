"""The spec of an instance."""

from dataclasses import replace

import pytest

from services.provisioner import spec
from services.provisioner.errors import NoAdapter
from services.provisioner.model import Credentials, DesiredInstance, DesiredState, Spec, WorkspaceId

DESIRED = DesiredInstance(
    workspace_id=WorkspaceId("5f0c2c1e-3c55-4b3a-9d43-9f7a3d1f0001"),
    generation=3,
    state=DesiredState.RUNNING,
    runtime="echo",
    adapter_module="molecule_agent.echo",
)
CREDENTIALS = Credentials("the-token", "the-secret")


def test_repr_of_a_spec_hides_credentials_and_environment():
    built = spec.build_spec(DESIRED, CREDENTIALS, environment=(("KEY", "the-value"),))

    assert "the-token" not in str(built.environment)
    for hidden in ("the-token", "the-secret", "the-value"):
        assert hidden not in repr(built)
    assert (built.credentials, built.environment) == (CREDENTIALS, (("KEY", "the-value"),))


def test_runtime_without_an_adapter_is_refused():
    with pytest.raises(NoAdapter, match="no image for runtime"):
        spec.require_adapter(replace(DESIRED, adapter_module=""))


def test_runtime_with_a_command_needs_no_adapter():
    spec.require_adapter(replace(DESIRED, adapter_module="", command=("agent",)))


@pytest.mark.covers("PROV-15")
def test_runtime_with_an_image_needs_no_adapter_and_runs_it():
    desired = replace(DESIRED, adapter_module="", image="agents/one:7")
    spec.require_adapter(desired, uses_images=True)

    assert spec.build_spec(desired, CREDENTIALS, environment=()).image == "agents/one:7"
    with pytest.raises(NoAdapter):
        spec.require_adapter(desired)


def test_runtime_with_an_adapter_is_accepted():
    spec.require_adapter(DESIRED)


def test_spec_contains_everything_that_a_backend_needs():
    desired = replace(DESIRED, files_digest="a-digest", command=("agent", "--serve"), image="agents:2")

    built = spec.build_spec(desired, CREDENTIALS, environment=(("KEY", "1"),), files=(("config.yaml", "name: ada"),))

    assert built == Spec(
        workspace_id=DESIRED.workspace_id,
        generation=3,
        environment=(("KEY", "1"),),
        credentials=CREDENTIALS,
        command=("agent", "--serve"),
        files=(("config.yaml", "name: ada"),),
        files_digest="a-digest",
        image="agents:2",
    )


def test_spec_without_files_has_none():
    built = spec.build_spec(DESIRED, CREDENTIALS, environment=())

    assert (built.files, built.files_digest) == ((), "")


def test_spec_has_the_tier_of_the_workspace():
    desired = DesiredInstance(workspace_id=WorkspaceId("one"), generation=1, state=DesiredState.RUNNING, tier=1)

    assert spec.build_spec(desired, Credentials("token", "secret"), environment=()).tier == 1
