import asyncio
import itertools
import time

import pytest

from gateway.parsing_turns import MAX_WAIT_SECONDS, ParsingTurns
from services.chassis.errors import Unavailable
from tests.skipping_loop import run_skipping


@pytest.mark.covers("EDGE-41")
async def test_bodies_are_parsed_one_after_another_with_pauses_as_long_as_they_took():
    turns = ParsingTurns()
    parsed = []

    async def parse(seconds):
        async with turns.take():
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                pass
            parsed.append((began, time.monotonic()))

    await asyncio.gather(*(parse(0.02) for _ in range(8)))

    assert len(parsed) == 8
    for (began, ended), (next_began, _) in itertools.pairwise(parsed):
        assert next_began - ended >= 0.9 * (ended - began)


@pytest.mark.covers("EDGE-41")
async def test_a_body_that_cannot_be_parsed_leaves_the_turn_to_the_next():
    turns = ParsingTurns()
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            async with turns.take():
                raise ValueError("bad")


@pytest.mark.covers("EDGE-41")
def test_a_turn_that_does_not_come_is_refused():
    async def wait_in_vain():
        turns = ParsingTurns()
        async with turns.take():
            began = asyncio.get_running_loop().time()
            with pytest.raises(Unavailable):
                async with turns.take():
                    pass
            return asyncio.get_running_loop().time() - began

    assert run_skipping(wait_in_vain()) == pytest.approx(MAX_WAIT_SECONDS)
