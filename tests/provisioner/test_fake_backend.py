"""The backend `fake` passes the suite of every backend."""

import pytest

from services.provisioner.backends.base import BackendConfig
from services.provisioner.backends.fake import FakeBackend, create_backend
from services.provisioner.model import Credentials, WorkspaceId
from tests.provisioner.backend_files_suite import BackendFilesSuite
from tests.provisioner.backend_suite import BackendSuite


@pytest.mark.covers("ENG-06")
class TestFakeBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return create_backend(BackendConfig(tmp_path))

    def read_credentials(self, backend: FakeBackend, workspace_id: WorkspaceId) -> Credentials:
        return backend.credentials[workspace_id]

    def read_files(self, backend: FakeBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        return dict(backend.files.get(workspace_id, ()))

    async def append_output(self, backend: FakeBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        backend.outputs[workspace_id] += text

    async def end(self, backend: FakeBackend, workspace_id: WorkspaceId) -> None:
        backend.end(workspace_id)


class TestFilesOfFakes(BackendFilesSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return create_backend(BackendConfig(tmp_path))
