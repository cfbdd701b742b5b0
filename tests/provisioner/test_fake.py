import pytest

from services.provisioner.backends.base import Site
from services.provisioner.backends.fake import FakeBackend, make
from services.provisioner.model import Credentials, WorkspaceId
from tests.provisioner.backend_suite import BackendSuite


@pytest.mark.covers("ENG-06")
class TestFakeBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return make(Site(tmp_path))

    def handed_over(self, backend: FakeBackend, workspace_id: WorkspaceId) -> Credentials:
        return backend.credentials[workspace_id]

    def files_of(self, backend: FakeBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        return dict(backend.files.get(workspace_id, ()))

    def write(self, backend: FakeBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        backend.written[workspace_id] += text

    async def end(self, backend: FakeBackend, workspace_id: WorkspaceId) -> None:
        backend.end(workspace_id)
