from datetime import timedelta

import pytest

from services.a2a_proxy.streams import writer


@pytest.fixture(autouse=True)
def patient_writer(monkeypatch):
    """Let storing take long, because a stream on a busy machine would go on without its recording."""
    monkeypatch.setattr(writer, "STORE_TIMEOUT", timedelta(seconds=30))
