from gateway.card_cache import CardCache, CardKey, RenderedCard


def key(number):
    return CardKey(b"%d" % number, "https://plane.example", is_current=True)


def card(size):
    return RenderedCard(b"x" * size, "tag")


def test_the_cards_that_were_used_last_are_kept():
    cache = CardCache(max_bytes=10)
    for number in range(2):
        cache.put(key(number), card(5))
    assert cache.find(key(0)) == card(5)

    cache.put(key(2), card(5))

    assert [cache.find(key(number)) for number in range(3)] == [card(5), None, card(5)]


def test_a_card_that_is_put_twice_counts_once():
    cache = CardCache(max_bytes=10)
    for _ in range(3):
        cache.put(key(0), card(5))
    cache.put(key(1), card(5))

    assert cache.find(key(0)) == cache.find(key(1)) == card(5)


def test_a_card_that_is_too_large_is_not_kept():
    cache = CardCache(max_bytes=10)
    cache.put(key(0), card(11))

    assert cache.find(key(0)) is None
    cache.put(key(1), card(10))
    assert cache.find(key(1)) == card(10)


def test_all_cards_have_8_mib():
    cache = CardCache()
    cache.put(key(0), card(8 * 1024 * 1024))
    assert cache.find(key(0)) is not None

    cache.put(key(1), card(8 * 1024 * 1024 + 1))
    assert cache.find(key(0)) is cache.find(key(1)) is None


def test_cards_of_different_forms_and_addresses_are_different():
    cache = CardCache()
    cache.put(CardKey(b"a", "https://plane.example", is_current=True), card(1))

    assert cache.find(CardKey(b"a", "https://plane.example", is_current=False)) is None
    assert cache.find(CardKey(b"a", "https://other.example", is_current=True)) is None
    assert cache.find(CardKey(b"b", "https://plane.example", is_current=True)) is None
