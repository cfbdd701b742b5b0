"""The faults of a chaos run: which ones a round has, and in which order."""

from chaos.faults import ALL_FAULTS, KILLS, SHORT_FAULTS, shuffle_faults


def test_every_process_of_a_message_is_killed_in_every_round():
    killed = {fault.process for fault in KILLS}

    assert killed == {"a2a_proxy", "a2a_proxy_2", "registry", "gateway", "gateway_2", "auth", "postgres"}
    assert set(KILLS) <= set(SHORT_FAULTS) <= set(ALL_FAULTS)


def test_a_round_has_every_fault_once_and_a_seed_gives_the_same_order():
    shuffled = shuffle_faults(ALL_FAULTS, seed=7)

    assert sorted(fault.name for fault in shuffled) == sorted(fault.name for fault in ALL_FAULTS)
    assert shuffled == shuffle_faults(ALL_FAULTS, seed=7)
    assert shuffled != shuffle_faults(ALL_FAULTS, seed=8)
