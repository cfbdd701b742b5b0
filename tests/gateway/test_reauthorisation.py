import asyncio

from gateway.reauthorisation import OpenConnections
from tests.waiting import eventually


async def is_disturbed(vigil):
    try:
        async with asyncio.timeout(0.01):
            await vigil.disturbed(within=float("inf"))
    except TimeoutError:
        return False
    return True


async def test_what_happens_to_one_disturbs_those_who_go_by_its_name():
    vigils = OpenConnections()
    with vigils.kept() as one, vigils.kept() as other:
        one.heed([b"digest", "", "w"])
        other.heed(["v"])
        vigils.disturb("w")
        vigils.disturb("")

        assert await is_disturbed(one)
        assert not await is_disturbed(other)


async def test_what_was_seen_to_disturbs_no_more_and_what_comes_then_does():
    vigils = OpenConnections()
    with vigils.kept() as vigil:
        vigil.heed(["w"])
        vigils.disturb("w")
        vigil.calm()
        assert not await is_disturbed(vigil)
        vigils.disturb_all()
        assert await is_disturbed(vigil)


async def test_time_disturbs_too():
    vigils = OpenConnections()
    with vigils.kept() as vigil:
        await vigil.disturbed(within=0.01)
        await vigil.disturbed(within=-1)


async def test_who_has_left_is_forgotten():
    vigils = OpenConnections()
    with vigils.kept() as one, vigils.kept() as other:
        one.heed(["w"])
        other.heed(["w"])
    vigils.disturb("w")

    assert await eventually(lambda: not vigils._by_name and not vigils._kept)
