from datetime import timedelta

import pytest

from services.a2a_proxy.streams import writer


@pytest.fixture(autouse=True)
def patient_writer(monkeypatch):
    """Let storing take long: on a busy machine a stream would go on without its recording, which few tests are about."""
    monkeypatch.setattr(writer, "STORE_TIMEOUT", timedelta(seconds=30))
