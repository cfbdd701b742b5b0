import pytest


@pytest.mark.covers("GW-02")
async def test_health_asks_nobody(plane):
    answer = await plane.http.get("/health")

    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')
    assert plane.auth.asked == []
