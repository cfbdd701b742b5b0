"""Searches of the activity find parts of texts, and their cost is bounded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.a2a_proxy import store as module
from services.a2a_proxy.activity_search import MAX_CONCURRENT_SEARCHES, ActivitySearches
from services.a2a_proxy.app import service
from services.a2a_proxy.errors import InvalidActivityQuery, SearchTimeout
from services.a2a_proxy.model import Activity, ActivitySearch, WorkspaceId
from services.a2a_proxy.store import Store
from tests import databases

A, B = (WorkspaceId(str(uuid4())) for _ in range(2))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MIB = 1024 * 1024


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield Store(engine)


def row(name: str, workspace_id: WorkspaceId = A, **fields) -> Activity:
    values = {"id": str(uuid4()), "activity_type": "agent_log", "created_at": NOON, "tool_trace": name} | fields
    return Activity(workspace_id=workspace_id, **values)


async def add(store: Store, *rows: Activity) -> None:
    async with store.begin() as tx:
        await tx.append(rows)


async def search(store: Store, text: str = "", **fields) -> list[str | None]:
    """Return the names of the rows that are found."""
    found = await ActivitySearches(store).search(ActivitySearch(workspace_id=A, text=text, **fields))
    return [one.tool_trace for one in found]


async def test_a_part_of_each_text_is_found_whatever_the_case_the_newest_first(store):
    await add(
        store,
        row("type", activity_type="a2a_NEEDLE"),
        row("method", method="the needle/send"),
        row("status", status="needle"),
        row("summary", summary="A Needle."),
        row("error", error_detail="no needles"),
        row("request", request_body='{"text":"needle"}'),
        row("response", response_body='"NeEdLe"'),
        row("nothing", summary="hay", source_id=A),
        row("other", B, summary="needle"),
    )

    assert await search(store, "Needle") == ["response", "request", "error", "summary", "status", "method", "type"]
    assert await search(store, "needle", limit=2) == ["response", "request"]
    assert await search(store, limit=3) == ["nothing", "response", "request"]
    assert await search(store, A) == []


async def test_every_character_of_a_text_stands_for_itself(store):
    await add(store, row("percent", summary="50% off"), row("plain", summary="50 off"), row("path", summary=r"a\b_c/d"))

    assert await search(store, "50%") == ["percent"]
    assert await search(store, "5_") == []
    assert await search(store, r"\B_c/") == ["path"]
    assert await search(store, "50. off") == await search(store, "***=50") == []
    assert await search(store, "'; drop table a2a_proxy.activities; --") == []
    assert len(await search(store)) == 3


async def test_a_search_returns_whole_rows(store):
    stored = row("a", method="m", request_body='{ "n": 0.10 }', response_body="[]")
    await add(store, stored)

    assert await ActivitySearches(store).search(ActivitySearch(workspace_id=A, text="0.10")) == [stored]


async def test_a_text_of_more_than_a_thousand_bytes_is_refused(store):
    await add(store, row("long", summary="é" * 500))

    assert await search(store, "é" * 500) == ["long"]
    with pytest.raises(InvalidActivityQuery, match="q must be <= 1000 bytes"):
        await search(store, "é" * 500 + "x")


async def test_the_newest_rows_are_searched_and_the_older_ones_are_not(store):
    filler = [row("filler") for _ in range(module.MAX_SEARCHED_ROWS - 1)]
    await add(store, row("too old", summary="needle"), row("oldest", summary="needle"), *filler)

    assert await search(store, "needle") == ["oldest"]


async def test_as_many_of_the_newest_bytes_are_searched_as_fit(store):
    large = "x" * (module.MAX_SEARCHED_BYTES // 4)
    await add(store, *(row("", request_body=large, summary=f"needle {number}") for number in range(5)))

    found = await ActivitySearches(store).search(ActivitySearch(workspace_id=A, text="needle"))

    assert [one.summary for one in found] == ["needle 4", "needle 3", "needle 2"]


async def test_one_row_is_searched_even_if_it_is_larger_than_that(store):
    await add(store, row("huge", request_body="x" * (module.MAX_SEARCHED_BYTES + 1), summary="needle"))

    assert await search(store, "needle") == [None]


async def test_bodies_that_do_not_fit_into_one_message_are_left_out_and_their_rows_are_not(store):
    await add(store, *(row("", summary=str(number), request_body="x" * 5 * MIB) for number in range(3)))

    found = await ActivitySearches(store).search(ActivitySearch(workspace_id=A))

    assert [(one.summary, one.request_body is None) for one in found] == [("2", False), ("1", False), ("0", True)]


async def test_a_search_that_takes_too_long_ends_and_the_database_goes_on(store):
    await add(store, *(row(str(number), request_body="x" * 8 * MIB) for number in range(3)))

    with pytest.raises(SearchTimeout):
        async with store.begin() as tx:
            await tx.search(ActivitySearch(workspace_id=A, text="needle"), within=timedelta(milliseconds=2))
    assert await search(store, limit=1) == ["2"]


async def test_a_text_that_nearly_matches_everywhere_costs_no_more_than_another(store):
    await add(store, row("", request_body="a" * 8 * MIB), row("", response_body="a" * 8 * MIB))

    for text in ("a" * 999 + "b", "b" + "a" * 999):
        assert await search(store, text) == []


async def test_few_searches_run_at_a_time_and_a_further_one_gives_up(store):
    searches = ActivitySearches(store)
    async with store._engine.begin() as connection:
        await connection.execute(sa.text("lock table a2a_proxy.activities in access exclusive mode"))
        ended = await asyncio.gather(
            *(searches.search(ActivitySearch(workspace_id=A)) for _ in range(MAX_CONCURRENT_SEARCHES + 5)),
            return_exceptions=True,
        )

    assert [type(error) for error in ended] == [SearchTimeout] * len(ended)
    assert ended[0].retry_in == timedelta(seconds=5)
    assert await searches.search(ActivitySearch(workspace_id=A)) == []
