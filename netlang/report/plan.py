"""A training program as compiled: what each step updates, freezes and keeps a tape of, and what is computed once for several steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.numpy_steps import plan_memory
from compiler.diagnostics import Diagnostic, SpecError
from compiler.diagnostics.snippet import escape
from compiler.front.checked import Checked
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.training import Program, Step
from compiler.passes.autodiff import DerivativeError
from compiler.passes.program_facts import ProgramFacts, Tape, find_facts, shared_networks, shared_types
from compiler.passes.program_plan import ProgramPlan, network_modes, plan_spec, training_networks
from compiler.passes.step_gradient import flat_values, step_gradient
from netlang.report.amounts import format_bytes, format_count
from netlang.report.calls import describe_record
from netlang.report.tables import draw_table

WEIGHTS: Final[Mapping[Tape, str]] = {
    Tape.WEIGHTS: "updated",
    Tape.INPUTS: "frozen, tape to its inputs",
    Tape.NONE: "frozen, no tape",
}
MODES: Final[Mapping[bool, str]] = {True: "training", False: "evaluation"}


@final
@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A network in a step; `gradients_left_out` counts its weights whose gradients the step does not compute."""

    step: str
    network: str
    weights: str
    mode: str
    gradients_left_out: int


@final
@dataclass(frozen=True, slots=True)
class ValueRow:
    """A value that is computed apart from the steps that read it."""

    value: str
    type: str
    networks: str
    computed: str
    tape: str
    steps: str


@final
@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The plan as rows of text, and what else is kept from iteration to iteration, a line each."""

    networks: tuple[NetworkRow, ...]
    values: tuple[ValueRow, ...]
    notes: tuple[str, ...]


def summarize_plan(checked: Checked) -> PlanSummary:
    """The plan of a spec's program; SpecError NL710 where it has none."""
    program = checked.program
    if program is None:
        help = "add a section `train`"
        raise SpecError((Diagnostic("NL710", f"`{checked.name[:100]}` has no training program", None, help=help),))
    plan = plan_spec(checked)
    facts = find_facts(program, plan)
    counts = {name: count_trained(graph) for name, graph in checked.networks.items()}
    return PlanSummary(
        tuple(row for index in range(len(program.steps)) for row in _network_rows(program, plan, facts, index, counts)),
        tuple(row for index in range(len(plan.shared)) for row in _value_rows(program, plan, facts, index)),
        (*_notes(program, plan, facts), *_memory_notes(checked, program)),
    )


def count_trained(graph: Graph) -> int:
    """How many trained numbers a network owns."""
    return sum(item.type.elements.constant or 0 for _, item in owned_parameters(graph) if item.trainable)


def _network_rows(program: Program, plan: ProgramPlan, facts: ProgramFacts, index: int, counts: Mapping[str, int]) -> Iterator[NetworkRow]:
    step, found = program.steps[index], facts.steps[index]
    called = {item.name for item in found.networks}
    modes = network_modes(program, step)
    for name in step.update:
        if name not in called:
            values = [value for shared in found.shared if name in plan.shared[shared].networks for value in plan.shared[shared].names]
            yield NetworkRow(step.name, name, f"updated, through {', '.join(values)}", MODES[modes.get(name, False)], 0)
    for item in found.networks:
        left_out = 0 if item.tape is Tape.WEIGHTS else counts[item.name]
        yield NetworkRow(step.name, item.name, WEIGHTS[item.tape], MODES[item.training], left_out)


def _value_rows(program: Program, plan: ProgramPlan, facts: ProgramFacts, index: int) -> Iterator[ValueRow]:
    item, found = plan.shared[index], facts.shared[index]
    networks = ", ".join(shared_networks(item))
    computed = "once in a run" if item.constant else "once in an iteration"
    tape = f"kept, to {', '.join(found.taped)}" if found.taped else "none"
    for name, type in shared_types(item).items():
        readers = [
            step.name for step, graph in zip(program.steps, plan.steps, strict=True) if any(value.name == name for value in graph.inputs)
        ]
        inner = [other.names[0] for other in plan.shared if any(value.name == name for value in other.graph.inputs)]
        yield ValueRow(name, type, networks, computed, tape, ", ".join([*readers, *inner]))


def _notes(program: Program, plan: ProgramPlan, facts: ProgramFacts) -> Iterator[str]:
    for owner, step in enumerate(program.steps):
        sharing = [item.name for item, found in zip(program.steps, facts.steps, strict=True) if found.optimizer_of == owner]
        if len(sharing) > 1:
            yield f"one optimizer for {', '.join(sharing)}: {describe_record(step.optimizer, named=True, always=('lr',))}"
    for step, replayed in zip(program.steps, plan.replayed, strict=True):
        for size in replayed.sizes.values() if replayed is not None else ():
            yield f"a buffer of {size:,} earlier examples, for {step.name}"
    for step in program.steps:
        if step.ema is not None:
            yield f"averages of {', '.join(step.update)}, with decay {step.ema}, after {step.name}"
    if plan.carry is not None:
        for name, value in plan.carry.outputs.items():
            yield f"{name} {value.type} is carried to the next iteration"


def _memory_notes(checked: Checked, program: Program) -> Iterator[str]:
    """What NumPy's steps take for their values, scratch memory of kernels apart; nothing where it lacks a gradient or a size is open."""

    def make(graph: Graph, step: Step | None) -> Graph:
        if step is None:
            return flat_values(graph, training_networks(program, None))
        return step_gradient(step, training_networks(program, step)).graph

    try:
        graphs = plan_spec(checked, make).steps
    except DerivativeError:
        return
    sizes = {"N": program.batch}
    for step, graph in zip(program.steps, graphs, strict=True):
        if set(graph.symbols) <= sizes.keys():
            yield f"{step.name} with NumPy: {format_bytes(plan_memory(graph).bytes(sizes))} of planned memory at a batch of {program.batch}"


def draw_plan(summary: PlanSummary, *, width: int | None, color: bool) -> str:
    """Two tables, of networks by step and of values computed apart, and the notes."""
    steps: set[str] = set()
    rows = []
    for item in summary.networks:
        left_out = format_count(item.gradients_left_out) if item.gradients_left_out else ""
        rows.append(("" if item.step in steps else item.step, item.network, item.weights, item.mode, left_out))
        steps.add(item.step)
    columns = [("step", "left"), ("network", "left"), ("weights", "left"), ("mode", "left"), ("gradients left out", "right")]
    parts = [draw_table(columns, rows, width=width, color=color)]
    if summary.values:
        columns = [("value", "left"), ("type", "left"), ("networks", "left"), ("computed", "left"), ("tape", "left"), ("read by", "left")]
        values = [(item.value, item.type, item.networks, item.computed, item.tape, item.steps) for item in summary.values]
        parts.append(draw_table(columns, values, width=width, color=color))
    if summary.notes:
        parts.append("".join(f"{escape(note)}\n" for note in summary.notes))
    return "\n".join(parts)
