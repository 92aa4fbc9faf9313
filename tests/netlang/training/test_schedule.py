from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics import SpecError
from compiler.ir.training import Program, Step
from netlang.training.schedule import count_batches, count_iterations, is_due
from tests.netlang.training.runs import make, only

PROGRAM = make().program
assert PROGRAM is not None
EPOCHS: Program = PROGRAM


def build(*cadences: dict[str, int], epochs: int = 3) -> Program:
    steps: tuple[Step, ...] = tuple(replace(EPOCHS.steps[0], **cadence) for cadence in cadences)  # type: ignore[arg-type]
    return replace(EPOCHS, steps=steps, epochs=epochs)


def test_a_step_is_due_from_after_every_nth_before_until() -> None:
    step = build({"every": 3, "after": 2, "until": 9}).steps[0]
    assert [iteration for iteration in range(20) if is_due(step, iteration)] == [2, 5, 8]


def test_shared_batches_count_once_and_repetitions_each() -> None:
    program = build({}, {}, {"repeat": 5})
    assert count_batches(program, (True, True, True), 0) == 6
    assert count_batches(program, (False, False, True), 0) == 5
    assert count_batches(program, (False, True, False), 0) == 1


@given(
    st.lists(
        st.fixed_dictionaries(
            {"repeat": st.integers(1, 3), "every": st.integers(1, 4), "after": st.integers(0, 9)},
            optional={"until": st.integers(1, 12)},
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 4),
    st.integers(1, 7),
    st.data(),
)
def test_a_run_is_the_shortest_that_completes_its_epochs(
    cadences: list[dict[str, int]], epochs: int, size: int, data: st.DataObject
) -> None:
    program = build(*cadences, epochs=epochs)
    reads = tuple(data.draw(st.booleans()) for _ in cadences)
    try:
        total = count_iterations(program, reads, size)
    except SpecError as error:
        only(error, "NL723")
        assert sum(count_batches(program, reads, iteration) for iteration in range(200)) < epochs * size
        return
    taken = [count_batches(program, reads, iteration) for iteration in range(total)]
    assert sum(taken) >= epochs * size > sum(taken[:-1])


def test_iterations_are_taken_as_they_are() -> None:
    assert count_iterations(replace(EPOCHS, epochs=None, iterations=7), (False,), None) == 7


def test_epochs_without_training_data_never_end() -> None:
    with pytest.raises(SpecError) as caught:
        count_iterations(EPOCHS, (False,), None)
    only(caught.value, "NL723")
