"""Builds one graph node by node, inferring types at once, and names parameters.

Parameter keys: an entry with one op that owns tensors gives them its own name (`c1.weight`), one with several adds the op's
label (`main.conv.weight`, `main.conv_2.weight`); copies made by `repeat` are numbered (`stage.0.…`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, final

from compiler.ir.dims import Dim
from compiler.ir.graph import Call, Graph, Node, Parameter, Value, owns_parameters
from compiler.ir.initializers import Initializer
from compiler.ir.op import Op, ParameterSpec
from compiler.ir.types import TensorType
from compiler.source import Span


@final
@dataclass(slots=True, eq=False)
class InitRule:
    """`init: {conv.weight: normal(0, 0.02)}`: a parameter's name, or the end of its key, or an op's name before it."""

    pattern: str
    init: Initializer
    span: Span
    used: bool = False


@final
@dataclass(slots=True, eq=False)
class _Draft:
    """A node whose prefix is not known yet, and, for a call, the results read so far."""

    op: Op
    operands: tuple[Value, ...]
    specs: tuple[ParameterSpec, ...]
    results: list[Value]
    entry: str
    label: str
    span: Span | None
    owns: bool
    reads: dict[str, Value] = field(default_factory=dict)
    prefix: str = ""


@final
@dataclass(slots=True, eq=False)
class _Group:
    """Drafts that share a prefix: an entry, or one copy of a repeat."""

    name: str
    members: list[_Draft | _Group] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    copies: int = 0
    hidden: bool = False
    """Whether its name is left out of keys where it stands alone."""

    def label(self, name: str) -> str:
        count = self.counts[name] = self.counts.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def place(self, prefix: str) -> None:
        """Give every draft its prefix."""
        owners = [item for item in self.members if isinstance(item, _Group) or item.owns]
        single = len(owners) == 1 and isinstance(owners[0], _Draft)
        for item in owners:
            if isinstance(item, _Group) and item.hidden and len(owners) == 1 and prefix:
                item.place(prefix)
            elif isinstance(item, _Group):
                item.place(f"{prefix}.{item.name}" if prefix else item.name)
            elif single and prefix:
                item.prefix = prefix
            else:
                item.prefix = f"{prefix}.{item.label}" if prefix else item.label


Place = Literal["", "step", "metric", "sample", "carry", "assert"]
"""What of a program an expression belongs to; "" for what belongs to none."""


@final
class GraphBuilder:
    """Adds inputs, nodes and entries to a graph; `finish` gives the graph."""

    def __init__(self, graph: Graph, keys: dict[str, str] | None = None, inits: tuple[InitRule, ...] = (), place: Place = "") -> None:
        self.graph = graph
        self.place = place
        self._inits = inits
        self._rules: dict[str, list[tuple[int, InitRule]]] = {}
        self._owning: dict[int, bool] = {}
        self._keys = keys or {}
        self._drafts: list[_Draft] = []
        self._groups = [_Group("")]
        self.entry = ""

    def add_input(self, name: str, type: TensorType) -> Value:
        value = Value(type, name)
        self.graph.inputs.append(value)
        return value

    def add(self, op: Op, operands: tuple[Value, ...], span: Span | None = None, hints: tuple[str, ...] = ()) -> tuple[Value, ...]:
        """Apply an op; raises RuleError. Returns its results, called after `hints`, or the op."""
        types = tuple(value.type for value in operands)
        inferred = op.infer(*types)
        results = inferred if isinstance(inferred, tuple) else (inferred,)
        made = [Value(item, hint) for item, hint in zip(results, hints or [op.name] * len(results), strict=True)]
        draft = self._draft(op, operands, op.parameters(*types), made, span)
        return tuple(draft.results)

    @property
    def size(self) -> int:
        """How many ops and calls were added."""
        return len(self._drafts)

    def call(self, graph: Graph, operands: tuple[Value, ...], sizes: dict[str, Dim], span: Span | None) -> _Reader:
        """Apply a graph; its results are made as they are read."""
        draft = self._draft(Call(graph, (), tuple(sizes.items())), operands, (), [], span)
        return _Reader(draft, graph, sizes)

    def _draft(
        self, op: Op, operands: tuple[Value, ...], specs: tuple[ParameterSpec, ...], results: list[Value], span: Span | None
    ) -> _Draft:
        name = op.graph.name if isinstance(op, Call) else op.name
        owns = bool(specs) or (isinstance(op, Call) and self._owns_parameters(op.graph))
        draft = _Draft(op, operands, specs, results, self.entry, self._groups[-1].label(name), span, owns)
        self._drafts.append(draft)
        self._groups[-1].members.append(draft)
        return draft

    def _owns_parameters(self, graph: Graph) -> bool:
        """Whether a called graph has parameters of its own: a block may; looked up once for every graph."""
        if id(graph) not in self._owning:
            self._owning[id(graph)] = graph.kind == "block" and owns_parameters(graph)
        return self._owning[id(graph)]

    @contextmanager
    def open_entry(self, name: str) -> Iterator[None]:
        """What is added inside belongs to the entry."""
        self.entry = name
        self._groups.append(_Group(name))
        try:
            yield
        finally:
            self._groups.pop().place(self._keys.get(name, name))
            self.entry = ""

    @contextmanager
    def open_copy(self) -> Iterator[None]:
        """What is added inside belongs to the next numbered copy of a repeat."""
        outer = self._groups[-1]
        outer.copies += 1
        with self._open(_Group(str(outer.copies - 1))):
            yield

    @contextmanager
    def open_group(self, name: str) -> Iterator[None]:
        """What is added inside has keys under `name`, or, where nothing else of the entry has tensors, the entry's own."""
        with self._open(_Group(self._groups[-1].label(name), hidden=True)):
            yield

    @contextmanager
    def open_part(self, name: str) -> Iterator[None]:
        """What is added inside has keys under `name`."""
        with self._open(_Group(name)):
            yield

    @contextmanager
    def _open(self, group: _Group) -> Iterator[None]:
        self._groups[-1].members.append(group)
        self._groups.append(group)
        try:
            yield
        finally:
            self._groups.pop()

    def made(self) -> list[Node]:
        """What was added so far, without parameters and keys; calls with the results that are read."""
        nodes = []
        for draft in self._drafts:
            op, results = draft.op, tuple(draft.results)
            if isinstance(op, Call):
                op, results = Call(op.graph, tuple(draft.reads), op.sizes), tuple(draft.reads.values())
            nodes.append(Node(op, draft.operands, (), results, span=draft.span))
        return nodes

    def finish(self) -> Graph:
        """Turn drafts into nodes and their tensors into parameters, in order; calls nobody reads are left out."""
        self._groups[0].place("")
        graph = self.graph
        for draft in self._drafts:
            op, results = draft.op, tuple(draft.results)
            if isinstance(op, Call):
                if not draft.reads and not draft.owns:
                    continue
                op, results = Call(op.graph, tuple(draft.reads), op.sizes), tuple(draft.reads.values())
            values = []
            for spec in draft.specs:
                key = f"{draft.prefix}.{spec.name}" if draft.prefix else spec.name
                value = Value(spec.type, key)
                graph.parameters.append(Parameter(key, value, self._initializer(key, op.name, spec), spec.trainable))
                values.append(value)
            graph.nodes.append(
                Node(op, draft.operands, tuple(values), results, draft.entry, draft.label, draft.prefix if draft.owns else "", draft.span)
            )
        return graph

    def _initializer(self, key: str, op: str, spec: ParameterSpec) -> Initializer:
        """The innermost rule that matches; the most specific of one `init` first."""
        if not spec.trainable or not self._inits:
            return spec.init
        if not self._rules:
            for place, rule in enumerate(self._inits):
                self._rules.setdefault(rule.pattern, []).append((place, rule))
        parts = key.split(".")
        patterns = {".".join(parts[start:]) for start in range(len(parts))} | {f"{op}.{spec.name}"}
        matching = [pair for pattern in patterns for pair in self._rules.get(pattern, ())]
        for _, rule in matching:
            rule.used = True
        return min(matching, key=itemgetter(0))[1].init if matching else spec.init


@final
class _Reader:
    """Reads results of a called graph by name, once each."""

    def __init__(self, draft: _Draft, graph: Graph, sizes: dict[str, Dim]) -> None:
        self._draft = draft
        self._graph = graph
        self._sizes = sizes

    def __call__(self, name: str) -> Value | None:
        known = self._draft.reads.get(name)
        if known is not None:
            return known
        source = self._graph.read(name)
        if source is None:
            return None
        value = Value(source.type.substitute(self._sizes) if self._sizes else source.type, name or self._graph.name)
        self._draft.reads[name] = value
        return value
