"""Prints what runs inside torch classes and functions: `forward`, the `read_…` methods, step functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from compiler.backends.names import Names, class_name, network_parameter
from compiler.backends.pieces import Line, Pieces
from compiler.backends.printer import BodyPrinter, PrintedLowering, Unit, inputs_note, tensor_operands
from compiler.backends.sharing import Reads, output_fields, read_method, reads_by_forward
from compiler.backends.sizes import Sizes
from compiler.backends.torch_modules import Modules
from compiler.ir.cell import Cell
from compiler.ir.graph import Call, Graph, Node, Value, called_networks
from compiler.ir.op import Code
from compiler.ir.prune import prune


@final
@dataclass(frozen=True, slots=True)
class Use:
    """How a block is made and called: the class and what its constructor takes, or, with `function`, a plain function."""

    name: str
    function: bool
    arguments: Pieces = ()


@final
@dataclass(slots=True)
class TorchFile:
    """What functions of one printed file share: the blocks printed so far, the reads asked of graphs, records of outputs."""

    names: Names
    taken: set[str] = field(default_factory=set)
    uses: dict[Graph, Use] = field(default_factory=dict)
    reads: dict[str, list[Reads]] = field(default_factory=dict)
    emitted: dict[str, Callable[..., Any]] = field(default_factory=dict)
    records: dict[tuple[str, Reads], str] = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)
    runtime: dict[str, None] = field(default_factory=dict)
    """What scans share; it stands behind all else, before `kernels`."""
    kernels: list[str] = field(default_factory=list)
    scans: dict[str, tuple[Cell, bool]] = field(default_factory=dict)

    def claim(self, name: str) -> str:
        """A name of the file, which no variable gets."""
        found = self.names.claim(name)
        self.taken.add(found)
        return found

    def claim_class(self, name: str) -> str:
        """The name of a class; a second one of a name gets a number."""
        wanted, count = name, 2
        while wanted in self.taken:
            wanted, count = f"{name}{count}", count + 1
        return self.claim(wanted)

    def reads_of(self, graph: Graph) -> list[Reads]:
        return [reads for reads in self.reads.get(graph.name, []) if all(graph.read(name) is not None for name in reads)]

    def record(self, graph: Graph) -> str:
        """The NamedTuple of a graph's named outputs; printed when first needed."""
        key = (graph.name, tuple(graph.outputs))
        if key not in self.records:
            name = self.records[key] = self.claim(f"{class_name(graph.name)}Output")
            fields = "\n".join(f"    {item}: torch.Tensor" for item in output_fields(graph).values())
            self.sections.append(f"class {name}(NamedTuple):\n{fields}")
        return self.records[key]


@final
@dataclass(slots=True)
class Scope:
    """One function being printed: the file, the modules and the sizes it knows, the variables of networks."""

    file: TorchFile
    modules: Modules
    sizes: Sizes
    networks: dict[str, str]

    def render(self, node: Node, arguments: tuple[Code, ...]) -> str:
        if isinstance(node.op, Call):
            return self._call(node, node.op, arguments)
        arguments = tensor_operands(node, arguments, lambda code, dtype: f"torch.tensor({code}, dtype=torch.{dtype.torch_name})")
        at = PrintedLowering(node, self.sizes, self.file.emitted)
        module = self.modules.of(node)
        if module is not None:
            return node.op.torch_apply(at, module, *arguments)
        return node.op.torch(at, *arguments)

    def _call(self, node: Node, op: Call, arguments: tuple[Code, ...]) -> str:
        graph = op.graph
        use = self.file.uses.get(graph)
        if graph.kind == "network":
            target = self.networks[graph.name]
        elif use is not None and use.function:
            target = use.name
        else:
            found = self.modules.of(node)
            assert found is not None
            target = found
        given = [*arguments, *(f"{network_parameter(name)}={self.networks[name]}" for name in called_networks(graph))]
        if not reads_by_forward(graph, op.reads):
            separator = "_" if use is not None and use.function else "."
            return f"{target}{separator}{read_method(op.reads)}({', '.join(given)})"
        text = f"{target}({', '.join(given)})"
        if len(graph.outputs) == 1 or (op.reads == tuple(graph.outputs)):
            return text
        return f"{text}.{output_fields(graph)[op.reads[0]]}"


def print_function(
    file: TorchFile, graph: Graph, modules: Modules, name: str, *, reads: Reads | None = None, depth: int = 1, method: bool = True
) -> list[Line]:
    """A function or method that computes a graph's outputs, or what `reads` asks for."""
    pruned = prune(graph, tuple(graph.outputs) if reads is None else reads)
    networks = {found: network_parameter(found) for found in called_networks(pruned)}
    names = Names({*file.taken, *networks.values(), *(("self",) if method else ())})
    inputs = {value: names.claim(value.name) for value in pruned.inputs}
    sizes = Sizes(list(inputs.items()), names, local=graph.kind == "block")
    scope = Scope(file, modules, sizes, networks)
    single = list(pruned.outputs) == [""] or (reads is not None and len(reads) == 1)
    body = BodyPrinter(
        pruned, list(list_units(pruned, modules, scope)), names, inputs, sizes, depth + 1, single=single, carries=graph.kind != "step"
    )
    body.print()

    def result(codes: Mapping[str, str]) -> str:
        if reads is not None:
            return ", ".join(codes.values())
        fields = output_fields(graph)
        return f"{file.record(graph)}({', '.join(f'{fields[key]}={code}' for key, code in codes.items())})"

    lines = body.finish(result)
    if single:
        returned = "torch.Tensor"
    elif reads is not None:
        returned = f"tuple[{', '.join(['torch.Tensor'] * len(reads))}]"
    else:
        returned = file.record(graph)
    return [_head(name, inputs, networks, returned, sizes, depth, method, graph.kind == "step"), *lines]


def _head(
    name: str, inputs: dict[Value, str], networks: dict[str, str], returned: str, sizes: Sizes, depth: int, method: bool, step: bool
) -> Line:
    modules = [f"{item}: nn.Module" for item in networks.values()]
    tensors = [f"{item}: torch.Tensor" for item in inputs.values()]
    listed = [*modules, *tensors] if step else [*tensors, *(["*", *modules] if modules else [])]
    text = f"def {name}({', '.join([*(['self'] if method else []), *listed])}) -> {returned}:"
    return Line(depth, (text,), inputs_note(inputs, sizes))


def list_units(graph: Graph, modules: Modules, scope: Scope) -> Iterable[Unit]:
    """The nodes of a graph, and its chains as one unit each."""
    members = {value: chain for chain in modules.chains for node in chain.nodes for value in node.results}
    for node in graph.nodes:
        chain = members.get(node.results[0]) if node.results else None
        if chain is None:
            yield Unit(node.operands, node.results, node.entry, _renderer(scope, node), node.op.random, isinstance(node.op, Call))
        elif node.results == (chain.result,):
            yield Unit((chain.operand,), (chain.result,), node.entry, _caller(modules.access(chain.path)))


def _renderer(scope: Scope, node: Node) -> Callable[[tuple[Code, ...]], str]:
    return lambda codes: scope.render(node, codes)


def _caller(target: str) -> Callable[[tuple[Code, ...]], str]:
    return lambda codes: f"{target}({codes[0]})"
