"""Prints training steps as NumPy functions: the objective, the gradients and the new values of buffers from parameters and inputs.

Shared graphs, whose values several steps read, are printed in the same way.

A step is flat: what its networks do stands in one function, forward and backward. Parameters come as one dictionary by key
(`network/parameter`); gradients are called after what they are gradients of: `grad_c1_weight`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.copying import emitted_names
from compiler.backends.execution import execute
from compiler.backends.names import Names, identifier
from compiler.backends.native_scan import use_native
from compiler.backends.numpy_backend import HEAD
from compiler.backends.numpy_source import GENERATOR, NumpyFile, file_text, print_scans
from compiler.backends.pieces import Line
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, shape_note, tensor_operands
from compiler.backends.scan_plain import collect_scans
from compiler.backends.scan_ways import choose_way
from compiler.backends.sizes import Sizes
from compiler.backends.wrapping import wrap
from compiler.ir.cell import Cell
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.op import Code, Op
from compiler.ir.types import DType
from compiler.ops.elementwise import Scalar, copy_into
from compiler.ops.scan import Scan, ScanGradient
from compiler.ops.windows import slot
from compiler.passes.expand import Probe
from compiler.passes.liveness import Memory, assign_memory
from compiler.passes.step_gradient import BUFFER, GRADIENT, OBJECTIVE, StepGradient, by_key

ALIAS: Final = "Arrays"
RETURNED: Final = f"tuple[np.ndarray, {ALIAS}, {ALIAS}]"
SHARED: Final = f"tuple[{ALIAS}, {ALIAS}]"


@final
@dataclass(frozen=True, slots=True)
class StepsText:
    """A printed file of steps and shared graphs, and what they are called in it, in their order; `draws` says which take `generator`.

    `scans` are its scans by the stem of their functions' names, with whether rows end early.
    """

    text: str
    names: tuple[str, ...]
    draws: tuple[bool, ...]
    scans: Mapping[str, tuple[Cell, bool]]


StepFunction = Callable[..., Any]
"""Takes the parameters by key, then the graph's inputs.

That of a step gives the objective, gradients by key, new buffers by key; that of a shared graph its values by name, new buffers by key.
"""


@final
@dataclass(frozen=True, slots=True)
class NumpySteps:
    """Printed steps and shared graphs, running, in their order; those that draw take `generator` by keyword."""

    source: str
    functions: tuple[StepFunction, ...]
    draws: tuple[bool, ...]


def load_steps(steps: list[StepGradient], array_module: Any = None, title: str = "", shared: Sequence[Graph] = ()) -> NumpySteps:
    """Print the steps, then the shared graphs, and run the text with `np` bound to the array module, NumPy where none is given."""
    printed = print_steps(steps, title, shared)
    if array_module is None:
        names = execute(printed.text, "numpy_steps")
        use_native(names, printed.scans, tensors=False)
    else:
        names = execute(printed.text.replace(HEAD, "\n", 1), "numpy_steps", {"np": array_module})
    return NumpySteps(printed.text, tuple(names[name] for name in printed.names), printed.draws)


def print_steps(steps: list[StepGradient], title: str = "", shared: Sequence[Graph] = ()) -> StepsText:
    """A function for each step and each shared graph."""
    file = NumpyFile(Names({*emitted_names("np"), ALIAS}))
    file.sections.append(f"{ALIAS} = dict[str, np.ndarray]")
    graphs = [*(step.graph for step in steps), *shared]
    names = tuple(file.claim(graph.name) for graph in graphs)
    _print_kernels(file, [node.op for graph in graphs for node in graph.nodes])
    draws = [_print_step(file, name, step) for name, step in zip(names, steps, strict=False)]
    draws += [_print_shared(file, name, graph) for name, graph in zip(names[len(steps) :], shared, strict=True)]
    return StepsText(file_text(file, title), names, tuple(draws), file.kernels.cells)


def _print_kernels(file: NumpyFile, ops: list[Op]) -> None:
    """The functions of scans and of their gradients; plain loops of scans that have no others."""
    pulled = {(op.scan.cell.graph, op.scan.lengths) for op in ops if isinstance(op, ScanGradient)}
    plain = Graph("plain", "step")
    for op in ops:
        if isinstance(op, Scan) and choose_way(op.cell, lengths=op.lengths, torch=False).kind != "loop":
            file.claim_kernels(op.cell, op.lengths, backward=(op.cell.graph, op.lengths) in pulled)
        elif isinstance(op, Scan):
            plain.nodes.append(Node(op, (), (), ()))
    for uses in collect_scans([plain]).values():
        print_scans(file, uses)


def _print_scan(file: NumpyFile, op: Scan, operands: tuple[Code, ...], weights: tuple[Code, ...]) -> str:
    """The call of a scan whose weights are variables."""
    if (op.cell.graph, op.lengths) in file.kernels.found:
        return file.kernels.run(op, operands, weights)
    name, constants = file.scans[op.cell.graph]
    held = ", ".join(f'"{item.key}": {code}' for item, code in zip(op.cell.graph.parameters, weights, strict=True))
    before = [f"{{{held}}}", '""'] if weights else []
    return f"{name}({', '.join([*before, *op.arguments(operands), *([constants] if constants else [])])})"


def _print_step(file: NumpyFile, name: str, step: StepGradient) -> bool:
    """Add a step's function to the file; whether it draws."""

    def end(codes: Mapping[str, str]) -> list[str]:
        buffers = [f"buffers = {_dictionary(BUFFER, step.buffers, codes)}"] if step.buffers else []
        last = f"return {codes[OBJECTIVE]}, gradients, {'buffers' if step.buffers else '{}'}"
        return [f"gradients = {_dictionary(GRADIENT, step.gradients, codes)}", *buffers, last]

    return _print_flat(file, name, step.graph, RETURNED, end)


def _print_shared(file: NumpyFile, name: str, graph: Graph) -> bool:
    """Add a shared graph's function to the file; whether it draws."""
    buffers = by_key(graph, BUFFER)
    values = [item for item in graph.outputs if not item.startswith(BUFFER)]

    def end(codes: Mapping[str, str]) -> list[str]:
        kept = _dictionary(BUFFER, buffers, codes) if buffers else "{}"
        return [f"return {_dictionary('', values, codes)}, {kept}"]

    return _print_flat(file, name, graph, SHARED, end)


def _print_flat(file: NumpyFile, name: str, flat: Graph, returned: str, end: Callable[[Mapping[str, str]], list[str]]) -> bool:
    """Add the function of a flat graph; `end` gives its last statements, from the code of its outputs. Whether it draws."""
    graph = _rename(flat)
    names = Names({*file.taken, *emitted_names("np"), ALIAS, "p", "generator", "work", "gradients", "buffers"})
    inputs = {value: names.claim(value.name) for value in graph.inputs}
    owned = {item.value: names.claim(_shorten(graph, item.key)) for item in graph.parameters}
    sizes = Sizes([*inputs.items(), *owned.items()], names, local=False)
    drawn: list[bool] = []
    memory = plan_memory(graph)

    def render(node: Node) -> Callable[[tuple[Code, ...]], str]:
        def make(codes: tuple[Code, ...]) -> str:
            count = len(node.operands)
            given = tensor_operands(node, codes[:count], lambda code, dtype: f"np.asarray({code}, np.{dtype.numpy_name})")
            if isinstance(node.op, Scan):
                return _print_scan(file, node.op, given, codes[count:])
            if isinstance(node.op, ScanGradient):
                return file.kernels.pull(node.op, given)
            at = PrintedLowering(node, sizes, file.emitted)
            if node.results[0] in memory.slots:
                out = _out(node, memory, at, codes)
                made = node.op.numpy_into(at, out, *given, *codes[count:])
                text = f"{at.use(copy_into)}({out}, {node.op.numpy(at, *given, *codes[count:])})" if made is None else made
            else:
                text = node.op.numpy(at, *given, *codes[count:])
            drawn.append("generator." in text)
            return text

        return make

    units = [
        Unit(
            (*node.operands, *node.parameters),
            node.results,
            _shorten(graph, node.entry),
            render(node),
            node.op.random,
            stands=node.results[0] in memory.slots,
        )
        for node in graph.nodes
    ]
    body = BodyPrinter(graph, units, names, inputs | owned, sizes, 1, single=False)
    body.print()
    codes: dict[str, str] = {}
    lines = body.finish(lambda found: codes.update(found) or "")[:-1]
    lines += [Line(1, (text,)) for text in end(codes)]
    head = [
        Line(1, (f'{text} = p["{item.key}"]',), shape_note(item.type, sizes)) for item in graph.parameters if (text := owned[item.value])
    ]
    listed = [f"p: {ALIAS}", *(f"{text}: np.ndarray" for text in inputs.values())]
    listed += ["*", *([GENERATOR] if any(drawn) else []), "work: Any = None"]
    note = "".join(piece if isinstance(piece, str) else piece.text for piece in inputs_note(inputs, sizes))
    printed = [*wrap(f"def {name}({', '.join(listed)}) -> {returned}:", 0, note)]
    for line in (*head, *lines):
        comment = "".join(piece if isinstance(piece, str) else piece.text for piece in line.comment)
        printed += wrap("".join(str(piece) for piece in line.code), line.depth, comment)
    file.sections.append("\n".join(printed))
    return any(drawn)


def plan_memory(graph: Graph) -> Memory:
    """The memory that the function of a flat graph writes its values into."""
    literals = {node.results[0]: Code(node.op.numpy(Probe(node))) for node in graph.nodes if isinstance(node.op, Scalar)}
    return assign_memory(graph, lambda node: _writes(node, literals))


def _writes(node: Node, literals: Mapping[Value, Code]) -> bool:
    """Whether a node's op writes its first result where it is told; `literals` are the texts of constants."""
    texts = [literals.get(value, Code(f"value_{index}")) for index, value in enumerate((*node.operands, *node.parameters))]
    return node.op.numpy_into(Probe(node), Code("out"), *texts) is not None


def _out(node: Node, memory: Memory, at: PrintedLowering, codes: tuple[Code, ...]) -> Code:
    """The array that a node's first result is written into: an operand's, or that of its slot."""
    result = node.results[0]
    if result in memory.inside:
        return codes[node.operands.index(memory.inside[result])]
    dtype = "" if result.type.dtype is DType.f32 else f", np.{'bool_' if result.type.dtype is DType.bool else result.type.dtype.numpy_name}"
    return Code(f"{at.use(slot)}(work, {memory.slots[result]}, {at.dims(result.type.shape)}{dtype})")


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
