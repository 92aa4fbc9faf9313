"""Prints graphs as one stand-alone file of NumPy in evaluation mode: a class for each network, functions for blocks and steps.

A network holds its parameters as a dictionary by state-dict key; a block is a function of that dictionary and the prefix under
which its own stand. Blocks whose text differs in keyword constants alone share a function that takes these. Networks that call
others take them as keyword arguments, and what draws random numbers takes `generator`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from compiler.backends.copying import copy_functions, emitted_names
from compiler.backends.names import Names, class_name, docstring, network_parameter
from compiler.backends.pieces import Landmarks, Line, Piece, Pieces, Shared, Slot, lines_key
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, tensor_operands
from compiler.backends.scan_numpy import Kernels, print_entry
from compiler.backends.scan_plain import ScanUse, collect_scans, families, landmarks, print_numpy_scan
from compiler.backends.scan_ways import choose_way
from compiler.backends.sharing import Reads, block_groups, collect_reads, output_fields, read_method, reads_by_forward
from compiler.backends.sizes import Sizes
from compiler.backends.wrapping import wrap
from compiler.ir.cell import Cell
from compiler.ir.graph import Call, Graph, Node, Value, called_networks, owns_parameters
from compiler.ir.op import Code
from compiler.ir.prune import prune
from compiler.ops.scan import Scan
from compiler.passes.expand import calling_order, expand_all

MARK: Final = re.compile(r'"[^"]*"|\'[^\']*\'|[A-Za-z_]\w*|\d+\.?\d*(?:e[-+]?\d+)?|.')
GENERATOR: Final = "generator: np.random.Generator"


@final
@dataclass(frozen=True, slots=True)
class Printed:
    """One function: its inputs, the networks it takes, whether it draws, and its statements."""

    inputs: tuple[str, ...]
    networks: tuple[str, ...]
    draws: bool
    note: Pieces
    returned: str
    lines: list[Line]

    @property
    def head(self) -> Line:
        """Stands for the line of `def`, whose comment is shared as others are."""
        return Line(0, ("def",), self.note)


@final
@dataclass(frozen=True, slots=True)
class BlockUse:
    """How a block is called: by reads, the function's name; its constants; whether it takes parameters and draws."""

    names: Mapping[Reads, str]
    arguments: Pieces
    owns: bool
    draws: bool


@final
@dataclass(slots=True)
class NumpyFile:
    """One file while it is printed."""

    names: Names
    reads: dict[str, list[Reads]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    uses: dict[Graph, BlockUse] = field(default_factory=dict)
    scans: dict[Graph, tuple[str, str]] = field(default_factory=dict)
    """The function of each cell's graph, and the sizes it takes."""
    kernels: Kernels = field(default_factory=Kernels)
    drawing: set[Graph] = field(default_factory=set)
    emitted: dict[str, Callable[..., Any]] = field(default_factory=dict)
    records: dict[tuple[str, Reads], str] = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)

    def claim(self, name: str) -> str:
        found = self.names.claim(name)
        self.taken.add(found)
        return found

    def claim_kernels(self, cell: Cell, masked: bool, *, backward: bool = False) -> None:
        """Print a scan's functions once, under names of their own."""
        taken = {*self.names.taken, *self.taken}
        before = set(taken)
        self.kernels.add(cell, masked, taken, self.emitted, backward=backward)
        for name in sorted(taken - before):
            self.claim(name)

    def record(self, graph: Graph) -> str:
        """The NamedTuple of a graph's named outputs; printed when first needed."""
        key = (graph.name, tuple(graph.outputs))
        if key not in self.records:
            name = self.records[key] = self.claim(f"{class_name(graph.name)}Output")
            fields = "\n".join(f"    {item}: np.ndarray" for item in output_fields(graph).values())
            self.sections.append(f"class {name}(NamedTuple):\n{fields}")
        return self.records[key]

    def reads_of(self, graph: Graph) -> list[Reads]:
        known = self.reads.get(graph.name, [])
        return [reads for reads in known if all(graph.read(name) is not None for name in reads)]


@final
@dataclass(frozen=True, slots=True)
class NumpyText:
    """A printed file, and what the networks and steps of the spec are called in it.

    `scans` are its scans by the stem of their functions' names, with whether rows end early.
    """

    text: str
    networks: dict[str, str]
    steps: dict[str, str]
    scans: Mapping[str, tuple[Cell, bool]]


def numpy_source(graphs: list[Graph], title: str = "") -> str:
    """The text of a file with a class for each network and a function for each step among `graphs`, and what they call."""
    return print_numpy(graphs, title).text


def print_numpy(graphs: list[Graph], title: str = "") -> NumpyText:
    """`numpy_source` with the names it chose."""
    order = calling_order(*expand_all(graphs))
    names = Names(emitted_names("np"))
    file = NumpyFile(names, collect_reads(order))
    networks = {graph.name: file.claim(class_name(graph.name)) for graph in order if graph.kind == "network"}
    steps = {graph.name: file.claim(graph.name) for graph in order if graph.kind == "step"}
    for uses in collect_scans(order).values():
        print_scans(file, uses)
    for members in block_groups(order):
        _print_blocks(file, members)
    for graph in order:
        if graph.kind == "network":
            file.sections.append(_network_class(file, graph, networks[graph.name]))
        elif graph.kind == "step":
            made = _print_body(file, graph, tuple(graph.outputs), method=False)
            shared = Shared([[made.head, *made.lines]], [Landmarks()])
            before = [f"{item}: Any" for item in made.networks]
            head = _head(steps[graph.name], made, shared.comment(0), before=before, after=[])
            file.sections.append("\n".join([*head, *shared.lines(1)]))
    return NumpyText(file_text(file, title), networks, steps, file.kernels.cells)


def file_text(file: NumpyFile, title: str) -> str:
    """The whole text: what the spec says first, then the functions that do it."""
    emitted = copy_functions(file.emitted.values())
    body = "\n\n\n".join([*file.sections, *([emitted] if emitted else []), *file.kernels.texts])
    typing = [name for name, pattern in (("Any", r": Any\b"), ("NamedTuple", r"\(NamedTuple\)")) if re.search(pattern, body)]
    standard = ["import math"] if re.search(r"\bmath\.", body) else []
    standard += [f"from typing import {', '.join(typing)}"] if typing else []
    blocks = ["\n".join(standard)] if standard else []
    head = "\n".join([*docstring(title, 0), "", ""]) if title else ""
    imports = "\n\n".join(["from __future__ import annotations", *blocks, "import numpy as np"])
    return f"{head}{imports}\n\n\n{body}\n"


@final
@dataclass(slots=True)
class _Scope:
    """One function being printed; `prefix` stands before keys, `parameters` is the dictionary's name."""

    file: NumpyFile
    sizes: Sizes
    networks: dict[str, str]
    prefix: bool
    parameters: str
    keys: dict[Value, str]
    draws: bool = False
    held: bool = False

    def key(self, text: str) -> str:
        return f'prefix + "{text}"' if self.prefix else f'"{text}"'

    def render(self, node: Node, arguments: tuple[Code, ...]) -> str:
        if isinstance(node.op, Call):
            return self._call(node, node.op, arguments)
        if isinstance(node.op, Scan):
            return self._scan(node, node.op, arguments)
        given = tensor_operands(node, arguments, lambda code, dtype: f"np.asarray({code}, np.{dtype.numpy_name})")
        held = [Code(f"{self.parameters}[{self.key(self.keys[value])}]") for value in node.parameters]
        text = node.op.numpy(PrintedLowering(node, self.sizes, self.file.emitted), *given, *held)
        self.draws = self.draws or "generator." in text
        self.held = self.held or bool(held)
        return text

    def _scan(self, node: Node, op: Scan, arguments: tuple[Code, ...]) -> str:
        name, constants = self.file.scans[op.cell.graph]
        prefix = self.key(f"{node.prefix}.") if node.prefix else ("prefix" if self.prefix else '""')
        before = [self.parameters, prefix] if node.parameters else []
        self.held = self.held or bool(node.parameters)
        return f"{name}({', '.join([*before, *op.arguments(arguments), *([constants] if constants else [])])})"

    def _call(self, node: Node, op: Call, arguments: tuple[Code, ...]) -> str:
        graph = op.graph
        given = [*arguments, *(f"{network_parameter(name)}={self.networks[name]}" for name in called_networks(graph))]
        if graph in self.file.drawing:
            self.draws = True
            given.append("generator=generator")
        by_forward = reads_by_forward(graph, op.reads)
        if graph.kind == "network":
            target = self.networks[graph.name]
            text = f"{target if by_forward else f'{target}.{read_method(op.reads)}'}({', '.join(given)})"
        else:
            use = self.file.uses[graph]
            prefix = self.key(f"{node.prefix}.") if node.prefix else ("prefix" if self.prefix else '""')
            before = [self.parameters, prefix] if use.owns else []
            self.held = self.held or use.owns
            constants = Shared([[Line(0, ("(", *use.arguments, ")"))]], [Landmarks()]).lines()[0][1:-1] if use.arguments else ""
            name = use.names[tuple(graph.outputs) if by_forward else op.reads]
            text = f"{name}({', '.join([*before, *given, *([constants] if constants else [])])})"
        if not by_forward or op.reads == tuple(graph.outputs):
            return text
        return f"{text}.{output_fields(graph)[op.reads[0]]}"


def _print_body(file: NumpyFile, graph: Graph, reads: Reads, *, method: bool) -> Printed:
    """The statements that compute `reads`; `method` tells those of a class."""
    pruned = prune(graph, reads)
    whole = reads == tuple(graph.outputs)
    networks = {found: network_parameter(found) for found in called_networks(pruned)}
    reserved = {"self", "p"} if method else {"p", "prefix"}
    names = Names({*file.taken, *emitted_names("np"), *networks.values(), *reserved, "generator"})
    inputs = {value: names.claim(value.name) for value in pruned.inputs}
    sizes = Sizes(list(inputs.items()), names, local=graph.kind == "block")
    keys = {item.value: item.key for item in graph.parameters}
    scope = _Scope(file, sizes, networks, graph.kind == "block", "p", keys)
    units = [
        Unit(node.operands, node.results, node.entry, _renderer(scope, node), node.op.random, isinstance(node.op, Call))
        for node in pruned.nodes
    ]
    single = len(reads) == 1 and (not whole or reads == ("",))
    body = BodyPrinter(pruned, units, names, inputs, sizes, 2 if method else 1, single=single, carries=graph.kind != "step")
    body.print()

    def result(codes: Mapping[str, str]) -> str:
        if not whole:
            return ", ".join(codes.values())
        fields = output_fields(graph)
        return f"{file.record(graph)}({', '.join(f'{fields[key]}={code}' for key, code in codes.items())})"

    lines = body.finish(result)
    if single:
        returned = "np.ndarray"
    else:
        returned = file.record(graph) if whole else f"tuple[{', '.join(['np.ndarray'] * len(reads))}]"
    if method and scope.held:
        lines.insert(0, Line(2, ("p = self.parameters",)))
    return Printed(tuple(inputs.values()), tuple(networks.values()), scope.draws, inputs_note(inputs, sizes), returned, lines)


def _renderer(scope: _Scope, node: Node) -> Callable[[tuple[Code, ...]], str]:
    return lambda codes: scope.render(node, codes)


def _head(
    name: str, made: Printed, note: str, *, before: list[str], after: list[str], depth: int = 0, networks: bool = False
) -> Iterator[str]:
    given = [*before, *(f"{item}: np.ndarray" for item in made.inputs)]
    keywords = [*([f"{item}: Any" for item in made.networks] if networks else []), *([GENERATOR] if made.draws else []), *after]
    listed = [*given, *(["*", *keywords] if keywords else [])]
    return wrap(f"def {name}({', '.join(listed)}) -> {made.returned}:", depth, note)


def _network_class(file: NumpyFile, graph: Graph, name: str) -> str:
    lines = [f"class {name}:"]
    lines += [*docstring(graph.doc, 1), ""] if graph.doc else []
    lines += ["    def __init__(self, parameters: dict[str, np.ndarray]) -> None:", "        self.parameters = parameters"]
    for reads in [tuple(graph.outputs), *file.reads_of(graph)]:
        made = _print_body(file, graph, reads, method=True)
        if made.draws:
            file.drawing.add(graph)
        method = "__call__" if reads == tuple(graph.outputs) else read_method(reads)
        shared = Shared([[made.head, *made.lines]], [Landmarks()])
        lines += ["", *_head(method, made, shared.comment(0), before=["self"], after=[], depth=1, networks=True)]
        lines += shared.lines(1)
    return "\n".join(lines)


def print_scans(file: NumpyFile, uses: list[ScanUse]) -> None:
    """Functions for the cells of one name; those whose text differs in sizes alone share one."""
    printed = [(use, _scan_lines(file, use)) for use in uses]
    for family in families(printed):
        cell = family[0][0].cell
        name = file.claim(cell.name)
        shared = Shared([lines for _, lines in family], [landmarks(use.cell) for use, _ in family])
        for index, (use, _) in enumerate(family):
            pieces = tuple(shared.keyword_arguments(index))
            constants = Shared([[Line(0, ("(", *pieces, ")"))]], [Landmarks()]).lines()[0][1:-1] if pieces else ""
            file.scans[use.cell.graph] = (name, constants)
        (head,) = family[0][1][0].code
        taken = "".join(f", {item.signature}" for item in shared.parameters)
        text = str(head).replace("def scan(", f"def {name}(", 1).replace(") -> ", f"{', *' * bool(taken)}{taken}) -> ", 1)
        lines = [*wrap(text, 0, shared.comment(0)), *(docstring(cell.doc, 1) if cell.doc else [])]
        file.sections.append("\n".join([*lines, *shared.lines(1)]))


def _scan_lines(file: NumpyFile, use: ScanUse) -> list[Line]:
    """A cell's function: its kernels where they can be, else the plain loop."""
    masked = sorted(use.masked)
    if any(choose_way(use.cell, lengths=item, torch=False).kind == "loop" for item in masked):
        return print_numpy_scan(use, file.taken, file.emitted)
    for item in masked:
        file.claim_kernels(use.cell, item)
    return print_entry(use, file.taken, {item: file.kernels.found[use.cell.graph, item] for item in masked})


def _print_blocks(file: NumpyFile, graphs: list[Graph]) -> None:
    """Functions for the uses of one block; those that differ in keyword constants alone share one."""
    families: dict[object, list[tuple[Graph, dict[Reads, Printed]]]] = {}
    for graph in graphs:
        bodies = {reads: _print_body(file, graph, reads, method=False) for reads in (tuple(graph.outputs), *file.reads_of(graph))}
        for made in bodies.values():
            made.lines[:] = [Line(line.depth, cut_slots(line.code), line.comment) for line in made.lines]
        key = tuple((reads, made.inputs, lines_key(made.lines)) for reads, made in bodies.items())
        families.setdefault(key, []).append((graph, bodies))
    for family in families.values():
        graph, bodies = family[0]
        names: dict[Reads, str] = {}
        for reads in bodies:
            base = graph.name if reads == tuple(graph.outputs) else f"{names[tuple(graph.outputs)]}_{read_method(reads)}"
            names[reads] = file.claim(base)
        owns, draws = owns_parameters(graph), any(made.draws for made in bodies.values())
        texts = [[line for made in found.values() for line in (made.head, *made.lines)] for _, found in family]
        shared = Shared(texts, [Landmarks()] * len(family))
        for index, (item, _) in enumerate(family):
            file.uses[item] = BlockUse(names, tuple(shared.keyword_arguments(index)), owns, draws)
            if draws:
                file.drawing.add(item)
        start = 0
        for reads, made in bodies.items():
            before = ["p: dict[str, np.ndarray]", "prefix: str"] if owns else []
            after = [item.signature for item in shared.parameters]
            text = [*_head(names[reads], made, shared.comment(start), before=before, after=after, networks=True)]
            text += docstring(graph.doc, 1) if graph.doc and start == 0 else []
            file.sections.append("\n".join([*text, *shared.lines(start + 1, start + 1 + len(made.lines))]))
            start += 1 + len(made.lines)


def cut_slots(code: Pieces) -> Pieces:
    """Statements with the numbers in keyword arguments made slots that are called after the keyword."""
    (text,) = code
    assert isinstance(text, str)
    pieces: list[Piece] = []
    keyword, inner = "", 0
    marks = MARK.findall(text)
    for index, mark in enumerate(marks):
        if mark in "([{":
            inner += bool(keyword)
        elif mark in ")]}":
            inner -= bool(keyword)
            keyword = "" if inner < 0 else keyword
            inner = max(inner, 0)
        elif mark == "," and inner == 0:
            keyword = ""
        elif mark == "=" and index and marks[index - 1].isidentifier() and marks[index + 1 : index + 2] not in (["="], [" "]):
            keyword, inner = marks[index - 1], 0
        pieces.append(Slot(keyword, mark) if keyword and mark[0].isdigit() else mark)
    return tuple(pieces)
