"""Metrics of a program as functions, and the function that measures them on all evaluation data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.names import Names
from compiler.emit.train_bodies import INDENT, ROWS, Function, TrainText, call, print_graph, wrap_lines
from compiler.emit.train_draws import call_drawing
from compiler.ir.training import Program
from compiler.passes.gradients import has_gradients
from compiler.passes.share import draws_in

DOC: Final = '"""The metrics on all evaluation data, averaged over examples, in evaluation mode."""'


@final
@dataclass(frozen=True, slots=True)
class Evaluation:
    """What evaluation reads: the arrays by input, in order, the inputs that are one tensor each, whether sources may differ in length."""

    arrays: tuple[str, ...]
    fixed: tuple[str, ...]
    several: bool


@final
@dataclass(frozen=True, slots=True)
class Evaluate:
    """The printed `evaluate`: its text, and the networks it takes; arrays and fixed tensors follow them."""

    text: str
    networks: tuple[str, ...]


def evaluation_functions(text: TrainText, program: Program) -> dict[str, Function]:
    """The functions of the metrics."""
    return {name: print_graph(text, graph, name, "", ROWS) for name, graph in program.metrics.items()}


def needs_draws(program: Program) -> bool:
    """Whether metrics read the program's random tensors."""
    read = {value.name for graph in program.metrics.values() for value in graph.inputs}
    return program.draws is not None and not read.isdisjoint(program.draws.outputs)


def needs_states(program: Program) -> bool:
    """Whether metrics read carried states, which evaluation begins anew with every batch."""
    read = {value.name for graph in program.metrics.values() for value in graph.inputs}
    return program.carry is not None and not read.isdisjoint(program.carry.start.outputs)


def print_evaluate(
    text: TrainText, program: Program, metrics: Mapping[str, Function], draw: Function | None, start: Function | None, given: Evaluation
) -> Evaluate:
    """The function `evaluate`; `draw` and `start` make the program's random tensors and first states where metrics read them."""
    networks = tuple(dict.fromkeys(name for function in metrics.values() for name in function.networks))
    names = text.names("arrays", "start", "stop", "size", "rows", "totals", "total", "name", "array", "metrics", "random")
    variables = {item: names.claim(item) for item in (*given.arrays, *given.fixed)}
    listed = [f"{item}: nn.Module" for item in text.variables(networks)] + ["arrays: list[np.ndarray]"] * bool(given.arrays)
    listed += [f"{variables[item]}: torch.Tensor" for item in given.fixed]
    trained = [text.networks[name] for name in networks if name in text.trained]
    random = any(draws_in(graph, {}) for graph in program.metrics.values())
    inner = _measure(text, program, metrics, draw, start, given, variables, names)
    if random:
        inner = ["with torch.random.fork_rng():", f"{INDENT}torch.manual_seed(derive_seed(EVALUATION))", *(INDENT + line for line in inner)]
    lines = [DOC if given.arrays else '"""The metrics, in evaluation mode."""', *(f"{name}.eval()" for name in trained)]
    lines += [f"totals = dict.fromkeys([{', '.join(_quote(name) for name in metrics)}], 0.0)"] * bool(given.arrays)
    lines += ["random = generators(EVALUATION)"] * (draw is not None) + inner
    lines += [f"{name}.train()" for name in trained]
    lines.append("return {name: total / size for name, total in totals.items()}" if given.arrays else "return metrics")
    head = [] if any(map(has_gradients, program.metrics.values())) else ["@torch.no_grad()"]
    head.append(f"def evaluate({', '.join(listed)}) -> dict[str, float]:")
    return Evaluate("\n".join(wrap_lines([*head, *(INDENT + line for line in lines)])), networks)


def _measure(
    text: TrainText,
    program: Program,
    metrics: Mapping[str, Function],
    draw: Function | None,
    start: Function | None,
    given: Evaluation,
    variables: dict[str, str],
    names: Names,
) -> list[str]:
    """The batches, and what is added for each."""
    body: list[str] = []
    rows = "rows" if given.arrays else "BATCH"
    if draw is not None and program.draws is not None:
        drawn = [names.claim(item) for item in program.draws.outputs]
        variables |= dict(zip(program.draws.outputs, drawn, strict=True))
        body.append(f"{', '.join(drawn)} = {call_drawing(text, draw, 'random', [], rows)}")
    if start is not None and program.carry is not None:
        states = [names.claim(item) for item in program.carry.start.outputs]
        variables |= dict(zip(program.carry.start.outputs, states, strict=True))
        body.append(f"{', '.join(states)} = {call(text, start, {}, rows)}")
    if not given.arrays:
        measured = (f"{_quote(name)}: {call(text, function, variables, rows)}.item()" for name, function in metrics.items())
        return [*body, f"metrics = {{{', '.join(measured)}}}"]
    for name, function in metrics.items():
        body.append(f"totals[{_quote(name)}] += {call(text, function, variables, rows)}.item() * {rows}")
    targets = ", ".join(variables[item] for item in given.arrays)
    count = "min(map(len, arrays))" if given.several else "len(arrays[0])"
    stop = "stop" if given.several else "start + BATCH"
    colon = ":" if given.several else " : "
    loaded = f"torch.from_numpy(array[start{colon}{stop}]).to(DEVICE) for array in arrays"
    taken = f"{targets} = ({loaded})" if len(given.arrays) > 1 else f"({targets},) = ({loaded})"
    cut = ["stop = min(start + BATCH, size)"] * given.several
    inside = [*cut, taken, f"rows = len({variables[given.arrays[0]]})", *body]
    return [f"size = {count}", "for start in range(0, size, BATCH):", *(INDENT + line for line in inside)]


def _quote(text: str) -> str:
    return f'"{text}"'
