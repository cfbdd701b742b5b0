"""The agents of a chaos run: each writes a message down before it misbehaves, and all answer while it is calm."""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest

from chaos.agents import ARRIVALS, CALM
from chaos.journal import read_journal
from chaos.load import build_body
from chaos.model import AgentKind, Message, SendMode
from tests.waiting import eventually

KINDS = [kind for kind in AgentKind if kind is not AgentKind.POLL]

ANSWERING_KINDS = {AgentKind.ECHO, AgentKind.SLOW, AgentKind.TWICE, AgentKind.LARGE}


def find_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@asynccontextmanager
async def run_agents(directory):
    """Run all agents; yields a function that sends a message to one, and returns the status or `None`."""
    ports = {kind.value: find_port() for kind in reversed(KINDS)}  # the echo listens last, so all do once it answers
    process = subprocess.Popen([sys.executable, "-m", "chaos.agents", str(directory), json.dumps(ports)])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:

        async def send(kind, message_id):
            message = Message(id=message_id, target_id="t", kind=kind, mode=SendMode.DIRECT, is_repeatable=False)
            try:
                async with session.post(f"http://127.0.0.1:{ports[kind]}/", data=build_body(message)) as answer:
                    body = await answer.read()
            except (aiohttp.ClientError, OSError, TimeoutError):
                return None
            return answer.status if message_id.encode() in body or answer.status != 200 else "busy"

        try:
            await eventually(lambda: send(AgentKind.ECHO, "first"), within=20)
            yield send
        finally:
            process.kill()
            process.wait()


def list_arrivals(directory):
    return [record["message_id"] for record in read_journal(directory / ARRIVALS)]


@pytest.mark.covers("BEY-24")
async def test_every_message_that_an_agent_takes_is_written_down_whatever_it_answers(tmp_path):
    async with run_agents(tmp_path) as send:
        kinds = [kind for kind in KINDS if kind is not AgentKind.BUSY]
        answers = dict(zip(kinds, await asyncio.gather(*[send(kind, f"to {kind}") for kind in kinds]), strict=True))

    assert {kind for kind, answer in answers.items() if answer == 200} == ANSWERING_KINDS
    assert {f"to {kind}" for kind in kinds} <= set(list_arrivals(tmp_path))


async def test_a_busy_agent_writes_down_exactly_the_messages_that_it_takes(tmp_path):
    async with run_agents(tmp_path) as send:
        answers = {f"m{number}": await send(AgentKind.BUSY, f"m{number}") for number in range(40)}

    taken = {id_ for id_, answer in answers.items() if answer == 200}
    assert set(answers.values()) == {200, 429, 503, "busy"}
    assert taken == set(list_arrivals(tmp_path)) - {"first"}


async def test_every_agent_answers_while_it_is_calm(tmp_path):
    async with run_agents(tmp_path) as send:
        (tmp_path / CALM).touch()

        assert await asyncio.gather(*[send(kind, "m") for kind in KINDS]) == [200] * len(KINDS)


def test_the_body_of_a_repeatable_message_says_so():
    message = Message(id="m", target_id="t", kind=AgentKind.ECHO, mode=SendMode.DIRECT, is_repeatable=True)

    assert json.loads(build_body(message))["params"]["message"]["metadata"] == {"idempotent": True}
