"""Prints training steps as NumPy functions: the objective, the gradients and the new values of buffers from parameters and inputs.

A step is flat: what its networks do stands in one function, forward and backward. Parameters come as one dictionary by key
(`network/parameter`); gradients are called after what they are gradients of: `grad_c1_weight`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.copying import emitted_names
from compiler.backends.execution import execute
from compiler.backends.names import Names, identifier
from compiler.backends.numpy_backend import HEAD
from compiler.backends.numpy_source import GENERATOR, NumpyFile, file_text
from compiler.backends.pieces import Line
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, shape_note, tensor_operands
from compiler.backends.sizes import Sizes
from compiler.backends.wrapping import wrap
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Code
from compiler.passes.step_gradient import BUFFER, GRADIENT, StepGradient

ALIAS: Final = "Arrays"
RETURNED: Final = f"tuple[np.ndarray, {ALIAS}, {ALIAS}]"


@final
@dataclass(frozen=True, slots=True)
class StepsText:
    """A printed file of steps, and what they are called in it, in their order; `draws` says which take `generator`."""

    text: str
    names: tuple[str, ...]
    draws: tuple[bool, ...]


StepFunction = Callable[..., tuple[Any, dict[str, Any], dict[str, Any]]]
"""Takes the parameters by key, then the step's inputs; gives the objective, gradients by key, new buffers by key."""


@final
@dataclass(frozen=True, slots=True)
class NumpySteps:
    """Printed steps, running, in their order; those that draw take `generator` by keyword."""

    source: str
    functions: tuple[StepFunction, ...]
    draws: tuple[bool, ...]


def load_steps(steps: list[StepGradient], array_module: Any = None, title: str = "") -> NumpySteps:
    """Print the steps and run the text with `np` bound to the array module, NumPy where none is given."""
    printed = print_steps(steps, title)
    if array_module is None:
        names = execute(printed.text, "numpy_steps")
    else:
        names = execute(printed.text.replace(HEAD, "\n", 1), "numpy_steps", {"np": array_module})
    return NumpySteps(printed.text, tuple(names[name] for name in printed.names), printed.draws)


def print_steps(steps: list[StepGradient], title: str = "") -> StepsText:
    """A function for each step."""
    file = NumpyFile(Names({*emitted_names("np"), ALIAS}))
    file.sections.append(f"{ALIAS} = dict[str, np.ndarray]")
    names = tuple(file.claim(step.graph.name) for step in steps)
    draws = tuple(_print_step(file, name, step) for name, step in zip(names, steps, strict=True))
    return StepsText(file_text(file, title), names, draws)


def _print_step(file: NumpyFile, name: str, step: StepGradient) -> bool:
    """Add a step's function to the file; whether it draws."""
    graph = _rename(step.graph)
    names = Names({*file.taken, *emitted_names("np"), ALIAS, "p", "generator", "gradients", "buffers"})
    inputs = {value: names.claim(value.name) for value in graph.inputs}
    owned = {item.value: names.claim(_shorten(graph, item.key)) for item in graph.parameters}
    sizes = Sizes([*inputs.items(), *owned.items()], names, local=False)
    drawn: list[bool] = []

    def render(node: Node) -> Callable[[tuple[Code, ...]], str]:
        def make(codes: tuple[Code, ...]) -> str:
            count = len(node.operands)
            given = tensor_operands(node, codes[:count], lambda code, dtype: f"np.asarray({code}, np.{dtype.numpy_name})")
            text = node.op.numpy(PrintedLowering(node, sizes, file.emitted), *given, *codes[count:])
            drawn.append("generator." in text)
            return text

        return make

    units = [
        Unit((*node.operands, *node.parameters), node.results, _shorten(graph, node.entry), render(node), node.op.random)
        for node in graph.nodes
    ]
    body = BodyPrinter(graph, units, names, inputs | owned, sizes, 1, single=False)
    body.print()
    codes: dict[str, str] = {}
    lines = body.finish(lambda found: codes.update(found) or "")[:-1]
    lines += [Line(1, (f"gradients = {_dictionary(GRADIENT, step.gradients, codes)}",))]
    lines += [Line(1, (f"buffers = {_dictionary(BUFFER, step.buffers, codes)}",))] if step.buffers else []
    lines += [Line(1, (f"return {codes['objective']}, gradients, {'buffers' if step.buffers else '{}'}",))]
    head = [
        Line(1, (f'{text} = p["{item.key}"]',), shape_note(item.type, sizes)) for item in graph.parameters if (text := owned[item.value])
    ]
    listed = [f"p: {ALIAS}", *(f"{text}: np.ndarray" for text in inputs.values())]
    listed += ["*", GENERATOR] if any(drawn) else []
    note = "".join(piece if isinstance(piece, str) else piece.text for piece in inputs_note(inputs, sizes))
    printed = [*wrap(f"def {name}({', '.join(listed)}) -> {RETURNED}:", 0, note)]
    for line in (*head, *lines):
        comment = "".join(piece if isinstance(piece, str) else piece.text for piece in line.comment)
        printed += wrap("".join(str(piece) for piece in line.code), line.depth, comment)
    file.sections.append("\n".join(printed))
    return any(drawn)


def _dictionary(kind: str, values: Iterable[str], codes: Mapping[str, str]) -> str:
    items = [f'"{key}": {codes[kind + key]}' for key in values]
    return f"{{{', '.join(items)}}}"


def _rename(graph: Graph) -> Graph:
    """The graph with entries called as its variables shall be; gradients and new buffers are entries too."""
    wanted: dict[str, Value] = {}
    for name, value in (*graph.outputs.items(), *graph.entries.items()):
        kind = next((kind for kind in (GRADIENT, BUFFER) if name.startswith(kind)), "")
        before = {GRADIENT: "grad_", BUFFER: "new_", "": ""}[kind]
        short = identifier(f"{before}{_shorten(graph, name.removeprefix(kind))}")
        wanted.setdefault(short, value)
    return dataclasses.replace(graph, entries=wanted)


def _shorten(graph: Graph, name: str) -> str:
    """A key or an entry without the network's name, where all parameters are of one network."""
    owners = {item.key.partition("/")[0] for item in graph.parameters}
    if len(owners) == 1:
        (owner,) = owners
        for sign in "/.":
            name = name.removeprefix(f"{owner}{sign}")
    return name
