"""Pages of workspaces with their cards."""

from tests.registry.conftest import ADMIN


async def test_a_page_of_large_cards_ends_at_the_byte_limit(registry):
    card = b'{"x": "' + b"y" * 200_000 + b'"}'
    for number in range(45):
        await registry.register(await registry.create(f"w{number:02}"), card=card)

    page = await registry.queries.list(ADMIN, size=1000, token="")
    rest = await registry.queries.list(ADMIN, size=1000, token=page.next_page_token)

    assert 0 < len(page.entries) < 45
    assert len(page.entries) + len(rest.entries) == 45
    assert rest.next_page_token == ""
