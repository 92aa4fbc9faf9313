"""Prints scans as plain loops over time, with the step's equations as statements: what every faster form must equal.

torch: an `nn.Module` for each cell, parameters its attributes, composed ops inside, so that autograd differentiates it as often
as wanted. NumPy: a function that takes the dictionary of parameters and a prefix. Steps past a row's length keep its states and
give zeros; `reverse` runs from the last step to the first, so such steps come first and change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final

from compiler.backends.names import Names, docstring
from compiler.backends.pieces import Landmarks, Line, Piece, Pieces, Shared, Slot, lines_key
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, size_lines, tensor_operands
from compiler.backends.scan_arrays import hold_last_step, require_steps, valid_steps
from compiler.backends.sizes import Sizes
from compiler.backends.torch_first_values import SHAPELESS, print_first_values
from compiler.backends.wrapping import wrap
from compiler.front.spec import RESERVED as MODULE_NAMES
from compiler.ir.cell import BATCH, Cell
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Node, Value
from compiler.ir.initializers import Initializer, Uniform
from compiler.ir.op import Code
from compiler.ir.types import TensorType
from compiler.ops.scan import Scan
from compiler.passes.expand import expand, lacks_numpy, lacks_torch

HELPERS: Final = (require_steps, hold_last_step, valid_steps)
RESERVED: Final = ("self", "p", "prefix", "outputs", "going", "lengths", "reverse", "t", "steps", *(item.__name__ for item in HELPERS))


@final
@dataclass(slots=True)
class ScanUse:
    """What the scans of one cell ask for, all together: which first states are given, whether lengths, whether reverse."""

    cell: Cell
    initial: dict[str, None] = field(default_factory=dict)
    lengths: bool = False
    reverse: bool = False
    masked: set[bool] = field(default_factory=set)
    """Whether this cell's own scans have lengths: both where some have."""


def collect_scans(graphs: Iterable[Graph]) -> dict[str, list[ScanUse]]:
    """Every cell that the graphs run, once, by name; cells of one name are given the same arguments, so that their texts can be alike."""
    found: dict[Graph, ScanUse] = {}
    groups: dict[str, list[ScanUse]] = {}
    for op in (node.op for graph in graphs for node in graph.nodes if isinstance(node.op, Scan)):
        if op.cell.graph not in found:
            use = found[op.cell.graph] = ScanUse(op.cell)
            groups.setdefault(op.cell.name, []).append(use)
        use = found[op.cell.graph]
        use.masked.add(op.lengths)
        use.initial |= dict.fromkeys(op.initial)
        use.lengths, use.reverse = use.lengths or op.lengths, use.reverse or op.reverse
    for uses in groups.values():
        initial = {name: None for use in uses for name in use.initial}
        for use in uses:
            use.initial = initial
            use.lengths, use.reverse = any(item.lengths for item in uses), any(item.reverse for item in uses)
    return groups


@final
@dataclass(frozen=True, slots=True)
class Dialect:
    """How the two libraries write what a loop needs; `zeros` takes sizes, the dtype's name and the text of a tensor to be like."""

    array: str
    where: str
    stack: str
    axis: str
    hold: Callable[..., Any]
    expanded: Callable[[Graph], Graph]
    lower: Callable[[Node, PrintedLowering, tuple[Code, ...]], str]
    number: Callable[[Code, Any], str]
    zeros: Callable[[str, TensorType, str | None], str]
    holds_sizes: bool


def _torch_zeros(sizes: str, type: TensorType, like: str | None) -> str:
    if like is not None:
        return f"{like}.new_zeros({sizes})"
    return f"torch.zeros({sizes}, dtype=torch.{type.dtype.torch_name})"


def _numpy_zeros(sizes: str, type: TensorType, like: str | None) -> str:
    dtype = f"{like}.dtype" if like is not None else f"np.{type.dtype.numpy_name}"
    return f"np.zeros(({sizes}), {dtype})"


TORCH: Final = Dialect(
    "torch.Tensor",
    "torch.where",
    "torch.stack",
    "dim",
    hold_last_step,
    lambda graph: expand(graph, lacks_torch),
    lambda node, at, codes: node.op.torch(at, *codes),
    lambda code, dtype: f"torch.tensor({code}, dtype=torch.{dtype.torch_name})",
    _torch_zeros,
    True,
)
NUMPY: Final = Dialect(
    "np.ndarray",
    "np.where",
    "np.stack",
    "axis",
    valid_steps,
    lambda graph: expand(graph, lacks_numpy),
    lambda node, at, codes: node.op.numpy(at, *codes),
    lambda code, dtype: f"np.asarray({code}, np.{dtype.numpy_name})",
    _numpy_zeros,
    False,
)


@final
@dataclass(frozen=True, slots=True)
class Loop:
    """A printed loop: the arguments of its function, their note, and the statements, `depth` levels in."""

    signature: str
    note: Pieces
    lines: list[Line]


@final
class LoopPrinter:
    """Prints the function of one scan; `weights` are the texts of the parameters."""

    def __init__(
        self,
        use: ScanUse,
        dialect: Dialect,
        taken: Iterable[str],
        emitted: dict[str, Callable[..., Any]],
        weights: Callable[[str], str],
        depth: int,
    ) -> None:
        self._use, self._dialect, self._depth = use, dialect, depth
        self._graph = graph = dialect.expanded(use.cell.graph)
        self._emitted = emitted
        self._names = names = Names({*taken, *RESERVED, *(item.key for item in graph.parameters)})
        count = len(use.cell.inputs)
        symbols = {name for value in graph.inputs for dim in value.type.shape for name in dim.symbols}
        time = Dim.symbol(next(name for name in ("T", "T_", "T__") if name not in symbols))
        self._sequences: dict[Value, str] = {}
        self._inputs: dict[Value, str] = {}
        for value in graph.inputs[:count]:
            name = names.claim(value.name)
            shape = (value.type.shape[0], time, *value.type.shape[1:])
            self._sequences[Value(TensorType(value.type.dtype, shape), value.name)] = name
            self._inputs[value] = names.claim(f"{name}_t")
        self._states = {value: names.claim(value.name) for value in graph.inputs[count:]}
        self._sizes = Sizes(list(self._sequences.items()), names, local=False)
        self.held: dict[str, Slot] = {}
        self._weights = {item.value: weights(item.key) for item in graph.parameters}
        self._time, self._batch = self._sizes.text(time), self._sizes.text(Dim.symbol(BATCH))

    @property
    def sequences(self) -> list[str]:
        """What the sequences are called."""
        return list(self._sequences.values())

    @property
    def states(self) -> list[str]:
        """What the states are called."""
        return list(self._states.values())

    def print(self) -> Loop:
        use, dialect, depth = self._use, self._dialect, self._depth
        array = dialect.array
        codes: dict[str, str] = {}
        step = self._step(codes)
        starts = [line for value, name in self._states.items() for line in self._start(value, name)]
        order = f"reversed(range({self._time})) if reverse else range({self._time})" if use.reverse else f"range({self._time})"
        sizes = [Line(depth, (text,)) for text in size_lines(self._sequences, self._sizes)]
        picks = [Line(depth + 1, (f"{self._inputs[value]} = {sequence}[:, t]",)) for value, sequence in self._pairs()]
        outputs = "outputs[::-1] if reverse else outputs" if use.reverse else "outputs"
        lines = [
            *self._check(),
            *sizes,
            *starts,
            Line(depth, ("outputs = []",)),
            Line(depth, (f"for t in {order}:",)),
            *picks,
            *step,
            *self._advance(codes),
            Line(depth, (f"return {', '.join([f'{dialect.stack}({outputs}, {dialect.axis}=1)', *self._states.values()])}",)),
        ]
        given = [f"{name}: {array}" for name in self._sequences.values()]
        given += [f"{name}: {array} | None = None" for value, name in self._states.items() if value.name in use.initial]
        given += [f"lengths: {array} | None = None"] * use.lengths + ["reverse: bool = False"] * use.reverse
        return Loop(", ".join(given), inputs_note(self._sequences, self._sizes), lines)

    def _check(self) -> Iterator[Line]:
        """Refuse sequences without steps; put a row's last valid step beyond its end, where nothing that counts is computed."""
        self._emitted[require_steps.__name__] = require_steps
        yield Line(self._depth, (f"require_steps({self.sequences[0]}.shape[1])",))
        if self._use.lengths:
            hold = self._dialect.hold
            self._emitted[hold.__name__] = hold
            yield Line(self._depth, ("if lengths is not None:",))
            yield from (Line(self._depth + 1, (f"{name} = {hold.__name__}({name}, lengths)",)) for name in self.sequences)

    def _pairs(self) -> Iterator[tuple[Value, str]]:
        return zip(self._inputs, self._sequences.values(), strict=True)

    def _start(self, value: Value, name: str) -> Iterator[Line]:
        """A state before the first step."""
        floats = [text for item, text in self._weights.items() if item.type.dtype is value.type.dtype]
        floats += [text for item, text in self._sequences.items() if item.type.dtype is value.type.dtype]
        pieces: list[Piece] = [f"{name} = "]
        whole = self._dialect.zeros("{}", value.type, floats[0] if floats else None)
        before, _, after = whole.partition("{}")
        pieces += [before, self._batch]
        for axis, dim in enumerate(value.type.shape[1:]):
            pieces += [", ", self._size(dim, f"{value.name}_size" + f"_{axis}" * (value.type.rank > 2))]
        pieces += ["," * (value.type.rank == 1 and before.endswith("((")), after]
        if value.name in self._use.initial:
            pieces.append(f" if {name} is None else {name}")
        yield Line(self._depth, tuple(pieces))

    def _size(self, dim: Dim, otherwise: str) -> Piece:
        """A state's size: a slot called after the cell's constant; in a module, an attribute that holds it."""
        if dim.constant is None:
            return self._sizes.text(dim)
        slot = size_slot(self._use.cell, dim.constant, otherwise)
        if not self._dialect.holds_sizes:
            return slot
        name = f"{slot.role}_" if slot.role in MODULE_NAMES else slot.role
        self.held[name] = slot
        return f"self.{name}"

    def _step(self, codes: dict[str, str]) -> list[Line]:
        graph, sizes = self._graph, self._sizes

        def renderer(node: Node) -> Callable[[tuple[Code, ...]], str]:
            def render(arguments: tuple[Code, ...]) -> str:
                given = tensor_operands(node, arguments, self._dialect.number)
                return self._dialect.lower(node, PrintedLowering(node, sizes, self._emitted), given)

            return render

        units = [Unit(node.operands, node.results, node.entry, renderer(node)) for node in graph.nodes]
        inputs = {**self._inputs, **self._states, **self._weights}
        body = BodyPrinter(graph, units, self._names, inputs, sizes, self._depth + 1, single=False)
        body.print()
        before = len(sizes.used)
        lines = body.finish(lambda found: codes.update(found) or "")[:-1]
        return lines[before:]

    def _advance(self, codes: dict[str, str]) -> Iterator[Line]:
        """Take the output and the next states; a row that is over keeps its own."""
        use, depth, where = self._use, self._depth + 1, self._dialect.where
        graph = self._graph
        following = [codes[name] for name in use.cell.states]
        if not use.lengths:
            yield Line(depth, (f"outputs.append({codes['']})",))
            yield Line(depth, (f"{', '.join(self._states.values())} = {', '.join(following)}",))
            return
        going = {value: self._mask(value.type.rank) for value in self._states}
        output = codes[""]
        yield Line(depth, ("if lengths is None:",))
        yield Line(depth + 1, (f"outputs.append({output})",))
        yield Line(depth + 1, (f"{', '.join(self._states.values())} = {', '.join(following)}",))
        yield Line(depth, ("else:",))
        yield Line(depth + 1, ("going = t < lengths",))
        yield Line(depth + 1, (f"outputs.append({where}({self._mask(graph.outputs[''].type.rank)}, {output}, 0))",))
        kept = [f"{where}({going[value]}, {text}, {name})" for (value, name), text in zip(self._states.items(), following, strict=True)]
        yield Line(depth + 1, (f"{', '.join(self._states.values())} = {', '.join(kept)}",))

    @staticmethod
    def _mask(rank: int) -> str:
        return "going" if rank == 1 else f"going[:{', None' * (rank - 1)}]"


def size_slot(cell: Cell, number: int, otherwise: str = "size") -> Slot:
    """A size that is called after the cell's constant of that value, where there is one."""
    return Slot(next((name for name, value in cell.graph.constants.items() if value == number), otherwise), str(number))


def landmarks(cell: Cell) -> Landmarks:
    constants = tuple((name, repr(value)) for name, value in cell.graph.constants.items() if isinstance(value, int | float | bool))
    return Landmarks(constants=constants)


def families(cells: list[tuple[ScanUse, list[Line]]]) -> list[list[tuple[ScanUse, list[Line]]]]:
    """Cells whose text differs in sizes alone, together."""
    found: dict[object, list[tuple[ScanUse, list[Line]]]] = {}
    for item in cells:
        found.setdefault(lines_key(item[1]), []).append(item)
    return list(found.values())


def torch_setup(cell: Cell) -> list[Line]:
    """The statements of `__init__`: parameters, then their first numbers; the commonest of these in a loop."""
    lines = []
    kinds: dict[Initializer, int] = {}
    for item in cell.graph.parameters:
        pieces: list[Piece] = []
        for dim in item.type.shape:
            pieces += [", "] * bool(pieces) + [size_slot(cell, dim.constant or 0)]
        shape = pieces or ["()"]
        dtype = "" if item.type.dtype.value == "f32" else f", dtype=torch.{item.type.dtype.torch_name}"
        lines.append(Line(2, (f"self.{item.key} = nn.Parameter(torch.empty(", *shape, f"{dtype}))")))
        if isinstance(item.init, SHAPELESS):
            kinds[item.init] = kinds.get(item.init, 0) + 1
    common = max(kinds, key=lambda init: kinds[init], default=None)
    if common is not None:
        bound = _root_bound(cell, common)
        lines += [Line(2, ("bound = 1 / math.sqrt(", bound, ")"))] if bound is not None else []
        lines.append(Line(2, ("for parameter in self.parameters():",)))
        text = "nn.init.uniform_(parameter, -bound, bound)" if bound is not None else print_first_values(common, (), "parameter")
        lines.append(Line(3, (text,)))
    for item in cell.graph.parameters:
        if item.init != common:
            sizes = tuple(dim.constant or 0 for dim in item.type.shape)
            lines.append(Line(2, (print_first_values(item.init, sizes, f"self.{item.key}"),)))
    return lines


def _root_bound(cell: Cell, init: Initializer) -> Piece | None:
    """The n of a uniform distribution within 1/sqrt(n)."""
    if not isinstance(init, Uniform) or init.low != -init.high or init.high <= 0:
        return None
    size = round(1 / init.high**2)
    return size_slot(cell, size) if size and 1 / math.sqrt(size) == init.high else None


def torch_class(name: str, family: list[tuple[ScanUse, list[Line]]], setup: int) -> tuple[str, Shared]:
    """The text of a module class from variants of its `__init__` (the first `setup` lines) and `forward`."""
    shared = Shared([lines for _, lines in family], [landmarks(use.cell) for use, _ in family])
    doc = family[0][0].cell.doc
    lines = [f"class {name}(nn.Module):", *([*docstring(doc, 1), ""] if doc else [])]
    if setup:
        signature = ", ".join(["self", *(item.signature for item in shared.parameters)])
        lines += [*wrap(f"def __init__({signature}) -> None:", 1), "        super().__init__()", *shared.lines(0, setup), ""]
    return "\n".join([*lines, *shared.lines(setup)]), shared


def print_torch_scan(
    use: ScanUse, taken: Iterable[str], emitted: dict[str, Callable[..., Any]], function: str = ""
) -> tuple[list[Line], int]:
    """The lines of a cell's class, and how many of them belong to `__init__`; with `function`, that does the scan."""
    printer = LoopPrinter(use, TORCH, taken, {} if function else emitted, lambda key: f"self.{key}", 2)
    loop = printer.print()
    held = {} if function else printer.held
    setup = [*(Line(2, (f"self.{name} = ", slot)) for name, slot in held.items()), *torch_setup(use.cell)]
    body = loop.lines
    if function:
        states = [name if value in use.initial else "None" for value, name in zip(use.cell.states, printer.states, strict=True)]
        weights = [f"self.{item.key}" for item in use.cell.graph.parameters]
        lists = ", ".join(f"[{', '.join(items)}]" for items in (printer.sequences, states, weights))
        options = ", lengths" * use.lengths + ", reverse=reverse" * use.reverse
        body = [Line(2, (f"return {function}({lists}{options})",))]
    head = Line(1, (f"def forward(self, {loop.signature}) -> tuple[torch.Tensor, ...]:",), loop.note)
    return [*setup, head, *body], len(setup)


def print_numpy_scan(use: ScanUse, taken: Iterable[str], emitted: dict[str, Callable[..., Any]]) -> list[Line]:
    """The lines of a cell's function, which is called `scan` in them."""
    weights = weight_names(use.cell)
    loop = LoopPrinter(use, NUMPY, [*taken, *weights.values()], emitted, weights.__getitem__, 1).print()
    return [numpy_head(use, loop), *weight_lines(weights), *loop.lines]


def numpy_head(use: ScanUse, loop: Loop) -> Line:
    """The line of `def` of a function of the parameters' dictionary, called `scan`."""
    owned = "p: dict[str, np.ndarray], prefix: str, " if use.cell.graph.parameters else ""
    return Line(0, (f"def scan({owned}{loop.signature}) -> tuple[np.ndarray, ...]:",), loop.note)


def weight_names(cell: Cell) -> dict[str, str]:
    """What functions call a cell's parameters, by key."""
    names = Names(RESERVED)
    return {item.key: names.claim(item.key) for item in cell.graph.parameters}


def weight_lines(weights: dict[str, str]) -> list[Line]:
    """Statements that take parameters out of a dictionary."""
    return [Line(1, (f'{name} = p[prefix + "{key}"]',)) for key, name in weights.items()]
