from __future__ import annotations

import time

import pytest

from compiler.diagnostics import SpecError
from netlang.training.memory import count_states, free_memory, require_memory, show_bytes
from tests.netlang.training.runs import ADVERSARIAL, CLASSIFIER, make, only

# Of the classifier: a.linear 8x2+8, batch norm's weight, bias, mean and variance 8 each and its counter of 8 bytes, b 3x8+3;
# trained is all but the statistics.
WEIGHTS = (24 + 32 + 27) * 4 + 8
TRAINED = (24 + 16 + 27) * 4


def needed(text: str, batch: int, *, training: bool = True) -> int:
    """The least limit that lets a run through."""
    checked = make(text)
    low, high = 0, 10**9
    while low < high:
        middle = (low + high) // 2
        try:
            require_memory(checked, batch, middle, training=training)
            high = middle
        except SpecError:
            low = middle + 1
    return low


def test_weights_gradients_states_and_results_are_counted() -> None:
    fixed = WEIGHTS + TRAINED * 3
    one, two = needed(CLASSIFIER, 1), needed(CLASSIFIER, 2)
    assert needed(CLASSIFIER, 1, training=False) == WEIGHTS
    each = two - one
    assert each >= (8 * 4 + 3) * 4, "the results of linear, batch_norm, relu and dropout of 8 and of the last of 3"
    assert 0 <= one - fixed - each <= 16


def test_both_networks_of_a_game_are_counted() -> None:
    assert needed(ADVERSARIAL, 16) > needed(ADVERSARIAL, 1) > 0


HUGE = CLASSIFIER.replace("hidden: 8", "hidden: 2000000000").replace("-> batch_norm -> relu -> dropout(0.2)", "-> linear(2000)")


def test_ten_terabytes_are_refused_at_once() -> None:
    checked = make(HUGE)
    began = time.process_time()
    with pytest.raises(SpecError) as caught:
        require_memory(checked, 8)
    assert time.process_time() - began < 0.05
    found = only(caught.value, "NL711")
    assert "TiB of memory" in found.message
    assert len(found.notes) == 3
    assert found.notes[0].startswith("`net.a.linear_2.weight` with its gradient and optimizer state: 58.2 TiB")


def test_the_limit_that_was_given_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        require_memory(make(), 8, 1000)
    assert "1000 bytes are allowed, the limit that was given" in only(caught.value, "NL711").message


def test_free_memory_is_that_of_this_machine() -> None:
    assert 2**26 < free_memory() < 2**50


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (10 * 2**40, "10.0 TiB"), (2**80, "1,073,741,824.0 PiB")],
)
def test_amounts_are_shown_in_fitting_units(amount: int, shown: str) -> None:
    assert show_bytes(amount) == shown


def test_states_of_optimizers() -> None:
    def states(written: str) -> int:
        program = make(CLASSIFIER.replace("adamw(lr=cosine(rate, warmup=4))", written)).program
        assert program is not None
        return count_states(program.steps[0].optimizer)

    written = [
        "sgd(lr=rate)",
        "momentum(lr=rate)",
        "rmsprop",
        "rmsprop(momentum=0.9, centered=true)",
        "adam",
        "adamw(amsgrad=true)",
        "adagrad",
    ]
    assert [states(item) for item in written] == [0, 1, 1, 3, 2, 3, 1]
