from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from services.chassis.random_ids import IDS_PER_CALL, make_random_id


def test_random_ids_are_uuids_of_version_4_in_their_usual_form():
    for _ in range(100):
        text = make_random_id()
        parsed = UUID(text)

        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, RFC_4122)


def test_all_four_variants_occur():
    assert {make_random_id()[19] for _ in range(500)} == set("89ab")


def test_no_id_comes_twice_even_in_several_threads():
    count = 8 * IDS_PER_CALL
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: make_random_id(), range(count)))

    assert len(set(made)) == count
