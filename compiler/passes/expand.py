"""Replaces ops by what their formulas say, until every op has the form a back end needs.

Contract: values keep their types and names, parameters their keys; nodes of a formula stand in the entry of the op they
replace. A formula is text of the language: operand and parameter names are tensors, attribute names are constants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, final

from compiler.front.builder import GraphBuilder
from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node, Value
from compiler.ir.op import Code, Lowering, Op
from compiler.ir.types import TensorType
from compiler.passes.template import TemplateError, elaborate_text, instantiate

Wanted = Callable[[Node], bool]


@final
class FormulaError(Exception):
    """The formula of an op does not elaborate, or gives another type than its type rule."""

    def __init__(self, op: Op, message: str) -> None:
        super().__init__(f"formula of `{op.name}`: {message}")
        self.op = op


@final
class Probe(Lowering):
    """Stands in for a back end while an op is asked whether it has a form."""

    def __init__(self, node: Node) -> None:
        self.operand_types = node.operand_types
        self.result_types = node.result_types

    def dim(self, dim: Dim) -> str:
        return "1"

    def use(self, function: Callable[..., Any]) -> str:
        return function.__name__


def lacks_numpy(node: Node) -> bool:
    """Whether an op has a formula and no NumPy form of its own."""
    return node.op.formula is not None and not has_form(node, node.op.numpy)


def lacks_torch(node: Node) -> bool:
    """Whether an op has a formula and neither a torch module nor a torch function."""
    if node.op.formula is None or node.op.torch_module(*node.operand_types) is not None:
        return False
    return not has_form(node, node.op.torch)


def has_form(node: Node, lower: Callable[..., str]) -> bool:
    """Whether an op's method `torch` or `numpy` prints it."""
    texts = [Code(f"value_{index}") for index in range(len(node.operands) + len(node.parameters))]
    try:
        lower(Probe(node), *texts)
    except NotImplementedError:
        return False
    return True


def expand(graph: Graph, wanted: Wanted = lacks_numpy) -> Graph:
    """`graph`, and every graph it calls, with formulas in place of the ops that are `wanted`."""
    return expand_all([graph], wanted)[0]


def expand_all(graphs: list[Graph], wanted: Wanted = lacks_numpy) -> list[Graph]:
    """The graphs expanded; what they share stays shared, and a graph without a wanted op is returned as it is."""
    memo: dict[int, Graph] = {}
    for current in calling_order(*graphs):
        memo[id(current)] = _expand_one(current, wanted, memo)
    return [memo[id(graph)] for graph in graphs]


def expand_own(graph: Graph, wanted: Wanted = lacks_numpy) -> Graph:
    """`graph` with formulas in place of the ops that are `wanted`; what it calls stays as it is."""
    called = [node.op.graph for node in graph.nodes if isinstance(node.op, Call)]
    return _expand_one(graph, wanted, {id(item): item for item in called})


def calling_order(*graphs: Graph) -> list[Graph]:
    """The graphs and every graph they call, each once, callees before callers."""
    order: list[Graph] = []
    placed: set[int] = set()
    pending: list[tuple[Graph, bool]] = [(graph, False) for graph in reversed(graphs)]
    while pending:
        graph, ready = pending.pop()
        if id(graph) in placed:
            continue
        if ready:
            placed.add(id(graph))
            order.append(graph)
            continue
        pending.append((graph, True))
        pending += [(node.op.graph, False) for node in reversed(graph.nodes) if isinstance(node.op, Call)]
    return order


def _expand_one(graph: Graph, wanted: Wanted, memo: dict[int, Graph]) -> Graph:
    nodes: list[Node] = []
    replaced: dict[Value, Value] = {}
    changed = False
    pending = list(reversed(graph.nodes))
    while pending:
        node = _rewire(pending.pop(), replaced)
        if isinstance(node.op, Call):
            inner = memo[id(node.op.graph)]
            if inner is not node.op.graph:
                node = dataclasses.replace(node, op=Call(inner, node.op.reads, node.op.sizes))
                changed = True
            nodes.append(node)
        elif wanted(node):
            pending += reversed(_instantiate(node, replaced))
            changed = True
        else:
            nodes.append(node)
    if not changed:
        return graph
    return Graph(
        graph.name,
        graph.kind,
        list(graph.inputs),
        list(graph.parameters),
        nodes,
        {name: replaced.get(value, value) for name, value in graph.entries.items()},
        {name: replaced.get(value, value) for name, value in graph.outputs.items()},
        dict(graph.constants),
        graph.doc,
    )


def _rewire(node: Node, replaced: dict[Value, Value]) -> Node:
    if not any(value in replaced for value in node.operands):
        return node
    return dataclasses.replace(node, operands=tuple(replaced.get(value, value) for value in node.operands))


def _instantiate(node: Node, replaced: dict[Value, Value]) -> list[Node]:
    """The nodes of a formula on the node's own values; its results are the node's results, or are noted as replaced."""
    template = formula_graph(node.op, node.operand_types)
    copies, made = instantiate(template, (*node.operands, *node.parameters), node.entry, node.results)
    replaced.update((result, value) for result, value in zip(node.results, made, strict=True) if result is not value)
    return copies


@lru_cache(maxsize=4096)
def formula_graph(op: Op, types: tuple[TensorType, ...]) -> Graph:
    """What an op's formula elaborates to on operands of these types: inputs are the operands, then the parameters.

    Raises FormulaError where it does not elaborate, owns tensors, or gives another type than the op's rule.
    """
    if op.formula is None:
        raise FormulaError(op, "there is none")
    builder = GraphBuilder(Graph(op.name, "block"))
    names: dict[str, Any] = {field.name: getattr(op, field.name) for field in dataclasses.fields(op)}
    names |= operand_values(builder, op, types)
    try:
        graph = elaborate_text(f"formula of {op.name}", op.formula, builder, names)
    except TemplateError as error:
        raise FormulaError(op, str(error)) from error
    inferred = op.infer(*types)
    expected = inferred if isinstance(inferred, tuple) else (inferred,)
    made = tuple(value.type for value in graph.outputs.values())
    if made != expected:
        raise FormulaError(op, f"gives {', '.join(map(str, made))} where the rule says {', '.join(map(str, expected))}")
    return graph


def operand_values(builder: GraphBuilder, op: Op, types: tuple[TensorType, ...]) -> dict[str, Any]:
    """Inputs of the graph by the names that the formula uses: operands (a variadic one is a list), then parameters."""
    names = [name for name in op.operands if not name.startswith("*")]
    values: dict[str, Any] = {name: builder.add_input(name, type) for name, type in zip(names, types, strict=False)}
    if len(names) < len(op.operands):
        name = op.operands[-1].removeprefix("*")
        values[name] = tuple(builder.add_input(f"{name}_{index}", type) for index, type in enumerate(types[len(names) :]))
    for spec in op.parameters(*types):
        values[spec.name] = builder.add_input(spec.name, spec.type)
    return values
