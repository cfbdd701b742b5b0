"""The faults of a chaos run: what a deck holds, and in which order a seed deals it."""

from chaos.faults import ALL_FAULTS, KILLS, SHORT_FAULTS, deal_faults


def test_every_process_of_a_message_is_killed_in_every_deck():
    killed = {fault.process for fault in KILLS}

    assert killed == {"a2a_proxy", "a2a_proxy_2", "registry", "gateway", "gateway_2", "auth", "postgres"}
    assert set(KILLS) <= set(SHORT_FAULTS) <= set(ALL_FAULTS)


def test_a_deck_is_dealt_whole_and_a_seed_deals_the_same_order():
    dealt = deal_faults(ALL_FAULTS, seed=7)

    assert sorted(fault.name for fault in dealt) == sorted(fault.name for fault in ALL_FAULTS)
    assert dealt == deal_faults(ALL_FAULTS, seed=7)
    assert dealt != deal_faults(ALL_FAULTS, seed=8)
