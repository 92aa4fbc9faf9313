"""What stays in a cell's loop and what leaves it, what is saved, and that programs are in order."""

from __future__ import annotations

from collections import Counter

import pytest

from compiler.ir.graph import Value
from compiler.passes.scan_algebra import CARRIED, Program
from compiler.passes.scan_groups import group_steps
from compiler.passes.scan_plan import ScanPlan, plan_scan
from tests.compiler.backends.stepping import cell

CELLS = ["rnn(5)", "lstm(5)", "peephole_lstm(5)", "coupled_lstm(5)", "gru(5)", "gru_before(5)", "mgu(5)", "fgr(5)", "niaf(5)"]


def functions(program: Program) -> Counter[str]:
    return Counter(step.function for step in program.loop)


def inputs_of(plan: ScanPlan) -> set[Value]:
    return {*plan.forward.inputs, *plan.forward.masks}


@pytest.mark.parametrize("call", CELLS)
@pytest.mark.parametrize("masked", [False, True])
def test_steps_use_what_is_made_before_them(call: str, masked: bool) -> None:
    plan = plan_scan(cell(call), masked=masked)
    forward, backward = plan.forward, plan.backward
    given = inputs_of(plan) | set(forward.parameters.values()) | {before for before, _ in forward.states.values()}
    saved = {
        *forward.saved,
        *(after for _, after in forward.states.values()),
        backward.output,
        *(seed for seed, _ in backward.states.values()),
    }
    for program, known in ((forward.program, set(given)), (backward.program, given | saved)):
        for step in (*program.setup, *program.before, *program.loop, *program.after):
            assert known.issuperset(step.values)
            assert step.result not in known
            known.add(step.result)


@pytest.mark.parametrize("call", CELLS)
def test_what_does_not_depend_on_the_state_is_not_in_the_loop(call: str) -> None:
    plan = plan_scan(cell(call))
    for program in (plan.forward.program, plan.backward.program):
        assert all(program.level[step.result] == CARRIED for step in program.loop)
        assert all(any(program.level[value] == CARRIED for value in step.values) for step in program.loop)


@pytest.mark.parametrize("call", CELLS)
def test_weight_gradients_are_products_after_the_loop(call: str) -> None:
    plan = plan_scan(cell(call))
    matrices = [key for key, value in plan.forward.parameters.items() if value.type.rank == 2]
    after = Counter(step.function for step in plan.backward.program.after if step.result.type.shape[0].constant is not None)
    assert after["matmul"] == len(matrices)
    assert not any(value.type.rank == 2 and value.type.shape[0].constant for value in (step.result for step in plan.backward.program.loop))


@pytest.mark.parametrize(
    ("call", "loop"),
    [
        ("lstm(5)", {"add": 2, "multiply": 6, "contract": 1}),
        ("peephole_lstm(5)", {"add": 2, "multiply": 6, "contract": 1}),
        ("coupled_lstm(5)", {"add": 2, "multiply": 5, "contract": 1}),
        ("gru(5)", {"add": 2, "multiply": 4, "contract": 1}),
        ("rnn(5)", {"add": 1, "multiply": 1, "matmul": 1}),
    ],
)
def test_the_backward_loop_is_a_linear_map_of_few_terms(call: str, loop: dict[str, int]) -> None:
    """An LSTM's: dh + dy; dc + dh * k; four gates by factors that are known before; their products, added up; dc * k."""
    assert functions(plan_scan(cell(call)).backward.program) == loop


@pytest.mark.parametrize(("call", "count"), [("lstm(5)", 5), ("peephole_lstm(5)", 5), ("cifg(5)", 4), ("gru_before(5)", 3), ("rnn(5)", 0)])
def test_saved_are_the_activations_alone(call: str, count: int) -> None:
    """Sums, products and `1 - z` are made again; states are saved anyway, so that tanh of an RNN is."""
    assert len(plan_scan(cell(call)).forward.saved) == count


@pytest.mark.parametrize(("call", "gates"), [("lstm(5)", 4), ("peephole_lstm(5)", 4), ("gru_before(5)", 2), ("fgr(5)", 4)])
def test_products_of_one_state_are_one_group(call: str, gates: int) -> None:
    program = plan_scan(cell(call)).forward.program
    groups = group_steps(program.loop, program.level)
    assert max(len(group.steps) for group in groups if group.function == "matmul") == gates
    assert sum(len(group.steps) for group in groups) == len(program.loop)


def test_gates_that_wait_for_nothing_share_one_activation() -> None:
    """The output gate of an LSTM without peepholes goes through tanh with the others, scaled by its weights."""
    program = plan_scan(cell("lstm(5)")).forward.program
    groups = [group for group in group_steps(program.loop, program.level) if group.function == "tanh"]
    assert [len(group.steps) for group in groups] == [4, 1]
