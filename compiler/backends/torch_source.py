"""Prints graphs as one module file of PyTorch: a class for each network, one for blocks that are alike, a function for each step.

A class owns what the spec says it owns. A network that calls another takes it as a keyword argument of `forward`, so its state
dict holds its own parameters alone: `autoencoder(image, decoder=decoder)`. Every set of entries that another graph reads has its
method, `read_conv4_2`, which computes only what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from compiler.backends.constructors import constructor
from compiler.backends.copying import copy_functions, emitted_names
from compiler.backends.names import Names, class_name, docstring
from compiler.backends.pieces import Landmarks, Line, Pieces, Shared, lines_key
from compiler.backends.scan_functions import claim_stem, stem_names
from compiler.backends.scan_plain import ScanUse, collect_scans, families, print_torch_scan, torch_class
from compiler.backends.scan_runtime import NAMES
from compiler.backends.scan_torch import print_torch_kernel
from compiler.backends.scan_ways import choose_way
from compiler.backends.sharing import block_groups, collect_reads, read_method
from compiler.backends.torch_functions import TorchFile, Use, print_function
from compiler.backends.torch_modules import Modules, construction, find_modules, find_whole, is_attribute
from compiler.backends.wrapping import wrap
from compiler.front.values import BlockFunction, OpFunction
from compiler.ir.cell import Cell
from compiler.ir.graph import Call, Graph, Node
from compiler.ir.types import DType, TensorType
from compiler.ops.program import is_variable
from compiler.ops.scan import Scan
from compiler.passes.expand import calling_order, expand_all, has_form, lacks_torch

IMPORTS: Final = (
    ("import math", r"\bmath\."),
    ("import threading", r"\bthreading\."),
    ("from collections import OrderedDict", r"\bOrderedDict\("),
    ("from typing import NamedTuple", r"\(NamedTuple\)"),
    ("import numpy as np", r"\bnp\."),
    ("import torch", r"\btorch\."),
    ("import torch.nn.functional as F", r"\bF\."),
    ("from torch import nn", r"\bnn\."),
)


@final
@dataclass(slots=True)
class Variant:
    """The class text of one graph, before texts that are alike are joined."""

    graph: Graph
    setup: list[Line]
    methods: list[Line]
    children: tuple[str, ...]
    base: str = "nn.Module"

    @property
    def lines(self) -> list[Line]:
        return [*self.setup, *self.methods]

    @property
    def key(self) -> object:
        return self.base, len(self.setup), lines_key(self.lines)


@final
@dataclass(frozen=True, slots=True)
class TorchText:
    """A printed module file, and what the networks and steps of the spec are called in it.

    `scans` are its scans by the stem of their functions' names, with whether rows end early.
    """

    text: str
    networks: dict[str, str]
    steps: dict[str, str]
    scans: Mapping[str, tuple[Cell, bool]]


def torch_source(graphs: list[Graph], title: str = "") -> str:
    """The text of a module file with a class for each network and a function for each step among `graphs`, and what they call."""
    return print_torch(graphs, title).text


def print_torch(graphs: list[Graph], title: str = "", readers: Sequence[Graph] = ()) -> TorchText:
    """`torch_source` with the names it chose; networks get methods for what `readers`, which are printed elsewhere, read of them."""
    expanded = expand_all([*graphs, *readers], lacks_torch)
    order = calling_order(*expanded[: len(graphs)])
    file = open_file(order)
    file.reads = collect_reads(calling_order(*expanded))
    networks = {graph.name: file.claim_class(class_name(graph.name)) for graph in order if graph.kind == "network"}
    steps = {graph.name: file.claim(graph.name) for graph in order if graph.kind == "step"}
    print_blocks(file, order)
    for graph in order:
        if is_variable(graph):
            file.sections.append(_variable_text(networks[graph.name], graph))
        elif graph.kind == "network":
            variant = _variant(file, graph)
            file.sections.append(_class_text(networks[graph.name], [variant], Shared([variant.lines], [Landmarks()])))
        elif graph.kind == "step":
            lines = print_function(file, graph, Modules(), steps[graph.name], depth=0, method=False)
            file.sections.append("\n".join(Shared([lines], [Landmarks()]).lines()))
    return TorchText(_file_text(file, title), networks, steps, file.scans)


def open_file(order: list[Graph]) -> TorchFile:
    """An empty file for graphs, whose variables hide nothing that their scans bring with them."""
    scans = bool(collect_scans(order))
    return TorchFile(Names({*emitted_names("torch", "F", *["np"] * scans), *(NAMES if scans else ())}))


def print_blocks(file: TorchFile, order: list[Graph]) -> None:
    """Add the classes and functions of the scans and blocks among `order`, callees first."""
    for uses in collect_scans(order).values():
        _print_scans(file, uses)
    for members in block_groups(order):
        _print_blocks(file, members)


def printed_sections(file: TorchFile) -> list[str]:
    """What has been printed: what the spec says first, then the functions that do it."""
    emitted = copy_functions(file.emitted.values())
    return [*file.sections, *([emitted] if emitted else []), *file.runtime, *file.kernels]


def needed_imports(body: str) -> list[str]:
    """The import lines of what a text mentions."""
    return [line for line, pattern in IMPORTS if re.search(pattern, body)]


def _file_text(file: TorchFile, title: str) -> str:
    body = "\n\n\n".join(printed_sections(file))
    wanted = needed_imports(body)
    foreign = [line for line in wanted if "torch" in line or "numpy" in line]
    standard = [line for line in wanted if line not in foreign]
    imports = "\n\n".join("\n".join(block) for block in (standard, foreign) if block)
    head = "\n".join([*docstring(title, 0), "", ""]) if title else ""
    return f"{head}{imports}\n\n\n{body}\n"


def is_function(node: Node) -> bool:
    """Whether a node is printed without a module of its own."""
    if isinstance(node.op, Call):
        return node.op.graph.kind != "block" or is_stateless(node.op.graph)
    return not node.parameters and has_form(node, node.op.torch)


def is_stateless(graph: Graph) -> bool:
    """Whether a block needs no class: it owns nothing, and nothing in it tells training from evaluation."""
    return graph.kind == "block" and all(is_function(node) for node in graph.nodes)


def _constructor(file: TorchFile, node: Node) -> Pieces | None:
    if isinstance(node.op, Scan):
        scan = file.uses[node.op.cell.graph]
        return (f"{scan.name}(", *scan.arguments, ")")
    if not isinstance(node.op, Call):
        text = node.op.torch_module(*node.operand_types)
        return None if text is None else constructor(text)
    use = file.uses.get(node.op.graph)
    if use is None or use.function:
        return None
    return (f"{use.name}(", *use.arguments, ")")


def _print_scans(file: TorchFile, uses: list[ScanUse]) -> None:
    """Classes for the cells of one name: one for each kernel, and one for plain loops that differ in sizes alone."""
    plain = [use for use in uses if any(choose_way(use.cell, lengths=ends).kind == "loop" for ends in use.masked)]
    printed = [(use, *print_torch_scan(use, file.taken, file.emitted)) for use in plain]
    for family in families([(use, lines) for use, lines, _ in printed]):
        _print_scan_class(file, family, next(count for use, _, count in printed if use is family[0][0]))
    stem = claim_stem(uses[0].cell.name, file.names.taken)
    kernels: dict[str, list[ScanUse]] = {}
    for use in uses:
        if use not in plain:
            made = print_torch_kernel(use.cell, stem, masked=use.masked, taken=file.names.taken)
            kernels.setdefault(f"{made.loop}\n{made.text}", []).append(use)
    for members in kernels.values():
        _print_kernel(file, members)


def _print_kernel(file: TorchFile, uses: list[ScanUse]) -> None:
    """A class, and the functions of the cells that share them."""
    first = uses[0]
    stem = claim_stem(first.cell.name, file.names.taken)
    made = print_torch_kernel(first.cell, stem, masked=first.masked, taken=file.names.taken)
    for name in stem_names(stem):
        file.claim(name)
    printed = [(use, *print_torch_scan(use, file.taken, file.emitted, f"{stem}_scan")) for use in uses]
    for family in families([(use, lines) for use, lines, _ in printed]):
        _print_scan_class(file, family, next(count for use, _, count in printed if use is family[0][0]))
    file.sections.append(made.loop)
    file.emitted |= made.used
    file.runtime |= dict.fromkeys(made.runtime)
    file.kernels.append(made.text)
    file.scans |= made.kernels


def _print_scan_class(file: TorchFile, family: list[tuple[ScanUse, list[Line]]], setup: int) -> None:
    name = file.claim_class(class_name(family[0][0].cell.name))
    text, shared = torch_class(name, family, setup)
    for index, (use, _) in enumerate(family):
        file.uses[use.cell.graph] = Use(name, False, tuple(shared.arguments(index)))
    file.sections.append(text)


def _variable_text(name: str, graph: Graph) -> str:
    """The class of a tensor that is trained itself."""
    (item,) = graph.parameters
    sizes = ", ".join(map(str, item.type.shape)) or "()"
    dtype = "" if item.type.dtype is DType.f32 else f", dtype=torch.{item.type.dtype.torch_name}"
    lines = [f"class {name}(nn.Module):", *docstring(graph.doc or "A tensor that is trained itself.", 1), ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    lines += wrap(f"self.{item.key} = nn.Parameter(torch.zeros({sizes}{dtype}))", 2)
    return "\n".join([*lines, "", "    def forward(self) -> torch.Tensor:", f"        return self.{item.key}"])


def _variant(file: TorchFile, graph: Graph) -> Variant:
    modules = find_modules(graph, lambda node: _constructor(file, node), is_function)
    whole = find_whole(graph, lambda node: _constructor(file, node)) if not file.reads_of(graph) else None
    if whole is not None:
        made = construction(whole)
        line = Line(2, ("super().__init__(", *made[1:])) if made[0] == "nn.Sequential(" else Line(2, ("super().__init__(*(", *made[1:]))
        return Variant(graph, [line], [], tuple(whole.children), "nn.Sequential")
    base, setup = "nn.Module", []
    numbered = modules.root.numbered
    if numbered is not None:
        first, *rest = construction(numbered)
        base, _, opened = str(first).partition("(")
        setup.append(Line(2, (f"super().__init__({opened}", *rest)))
    for name, child in modules.root.children.items():
        if is_attribute(name):
            setup.append(Line(2, (f"self.{name} = ", *construction(child))))
    methods = print_function(file, graph, modules, "forward")
    for reads in file.reads_of(graph):
        methods += [Line(0, ()), *print_function(file, graph, modules, read_method(reads), reads=reads)]
    return Variant(graph, setup, methods, tuple(modules.root.children), base)


def _print_blocks(file: TorchFile, graphs: list[Graph]) -> None:
    """Classes, or functions, for the uses of one block."""
    stateless = [graph for graph in graphs if is_stateless(graph)]
    _print_functions(file, stateless)
    variants: dict[object, list[Variant]] = {}
    for graph in graphs:
        if graph not in stateless:
            variant = _variant(file, graph)
            variants.setdefault(variant.key, []).append(variant)
    families = sorted(variants.values(), key=lambda family: len(family[0].setup))
    for family in families:
        name = file.claim_class(_family_name(family[0], families[0][0]))
        shared = Shared([item.lines for item in family], [_landmarks(item.graph) for item in family])
        for index, item in enumerate(family):
            file.uses[item.graph] = Use(name, False, tuple(shared.arguments(index)))
        file.sections.append(_class_text(name, family, shared))


def _print_functions(file: TorchFile, graphs: list[Graph]) -> None:
    """Blocks that need no class; those whose code is equal share a function."""
    families: dict[object, list[tuple[Graph, list[Line]]]] = {}
    for graph in graphs:
        lines = print_function(file, graph, Modules(), "block", depth=0, method=False)
        for reads in file.reads_of(graph):
            method = f"block_{read_method(reads)}"
            lines += [Line(0, ()), Line(0, ()), *print_function(file, graph, Modules(), method, reads=reads, depth=0, method=False)]
        families.setdefault(lines_key(lines), []).append((graph, lines))
    for family in families.values():
        graph = family[0][0]
        name = file.claim(graph.name)
        for item, _ in family:
            file.uses[item] = Use(name, True)
        text = Shared([lines for _, lines in family], [Landmarks()] * len(family)).lines()
        text = [re.sub(r"^def block", f"def {name}", line) for line in text]
        text[1:1] = docstring(graph.doc, 1) if graph.doc else []
        file.sections.append("\n".join(text))


def _family_name(variant: Variant, first: Variant) -> str:
    """The block's name, with what tells this family from the simplest one."""
    base = class_name(variant.graph.name)
    words = [word for word in _function_words(variant.graph) if word not in _function_words(first.graph)]
    if words:
        return base + "".join(map(class_name, words))
    extra = [child for child in variant.children if child not in first.children and child.isidentifier()]
    return f"{base}With{'And'.join(map(class_name, extra))}" if 0 < len(extra) <= 2 else base


def _function_words(graph: Graph) -> list[str]:
    """Names of the ops and blocks that a block was given."""
    words = []
    for value in graph.constants.values():
        if isinstance(value, OpFunction):
            words.append(value.op.name)
        elif isinstance(value, BlockFunction):
            words.append(value.definition.name)
    return words


def _landmarks(graph: Graph) -> Landmarks:
    def width(type: TensorType) -> str:
        shape = type.shape
        return str(shape[1] if len(shape) > 2 else shape[-1]) if shape else ""

    output = next(iter(graph.outputs.values()))
    inward = width(graph.inputs[0].type) if graph.inputs else ""
    return Landmarks(inward, width(output.type), tuple((name, repr(value)) for name, value in graph.constants.items()))


def _class_text(name: str, family: list[Variant], shared: Shared) -> str:
    graph, setup = family[0].graph, family[0].setup
    base = family[0].base
    lines = [f"class {name}({base}):"]
    if graph.doc:
        lines += [*docstring(graph.doc, 1), ""]
    if setup:
        signature = ", ".join(["self", *(item.signature for item in shared.parameters)])
        lines += wrap(f"def __init__({signature}) -> None:", 1)
        lines += ["        super().__init__()"] * (base == "nn.Module")
        lines += shared.lines(0, len(setup))
        lines += [""] * bool(family[0].methods)
    lines += shared.lines(len(setup))
    return "\n".join(lines)
