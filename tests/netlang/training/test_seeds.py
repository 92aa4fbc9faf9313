from __future__ import annotations

from netlang.training.seeds import Purpose, derive_seed


def test_purposes_and_seeds_do_not_meet() -> None:
    found = {derive_seed(seed, purpose) for seed in (0, 1, 2**62) for purpose in Purpose}
    assert len(found) == 3 * len(Purpose)
    assert all(0 <= seed < 2**64 for seed in found)


def test_a_seed_stays_what_it_is() -> None:
    assert derive_seed(3, Purpose.TRAINING) == derive_seed(3, Purpose.TRAINING)
