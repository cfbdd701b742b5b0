import pytest

from tests.molecule_agent.a2a_client import text_of

HOSTILE = ["1e400", "NaN", "1" * 4301, "[" * 960 + "]" * 960, "[" * 100_000 + "]" * 100_000, '"\\ud800"', "{"]


@pytest.mark.covers("TXT-05")
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:8])
@pytest.mark.parametrize("place", ["id", "data", "metadata"])
@pytest.mark.parametrize("version", ["0.3", "1.0"])
async def test_hostile_json_is_refused_as_json_rpc_and_the_agent_goes_on(echo, client, text, place, version):
    fields = {"id": "1", "data": "{}", "metadata": "{}"} | {place: text}
    method, role = ("message/send", "user") if version == "0.3" else ("SendMessage", "ROLE_USER")
    body = (
        f'{{"jsonrpc":"2.0","id":{fields["id"]},"method":"{method}","params":{{"message":{{"messageId":"h","role":'
        f'"{role}","parts":[{{"kind":"data","data":{fields["data"]}}}],"metadata":{{"x":{fields["metadata"]}}}}}}}}}'
    )

    answer = await client.post(echo.url, content=body.encode(), headers={"A2A-Version": version})

    assert answer.status_code < 500, answer.text
    assert "error" in answer.json(), answer.text
    assert text_of(await client.send_message(echo.url, "hello", "m2")) == "hello"
