"""Which modules a torch class holds, and under which names: those of the state dict.

A prefix `main.conv` is a path: `main` becomes a container. An entry whose ops are one after another all torch modules becomes an
`nn.Sequential`, which is called as a whole; children with the numbers 0, 1, … an `nn.ModuleList`; all else an `nn.ModuleDict`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, final

from compiler.backends.pieces import Piece, Pieces, Slot
from compiler.ir.graph import Call, Graph, Node, Value, called_networks
from compiler.ir.op import Code
from compiler.passes.expand import Probe

Kind = Literal["sequential", "modules"]
Constructor = Callable[[Node], Pieces | None]
"""The text that makes the module of a node; None where there is only a function."""


def is_attribute(name: str) -> bool:
    """Whether a module of that name can be written `self.name`; a number is written `self[0]`."""
    return name.isidentifier() and not keyword.iskeyword(name)


@final
@dataclass(slots=True)
class Branch:
    """A container; children by name, in order."""

    kind: Kind = "modules"
    children: dict[str, Branch | Pieces] = field(default_factory=dict)

    @property
    def is_list(self) -> bool:
        return list(self.children) == [str(index) for index in range(len(self.children))]

    @property
    def numbered(self) -> Branch | None:
        """The children that a class must hold as a list or a dictionary because their names are numbers; None without any."""
        children = {name: child for name, child in self.children.items() if not is_attribute(name)}
        return Branch("modules", children) if children else None


def _index(branch: Branch | None, name: str) -> str:
    """`[0]` in a list, `["conv"]` in a dictionary."""
    return f"[{name}]" if branch is not None and branch.is_list else f'["{name}"]'


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Nodes that one `nn.Sequential` at `path` does: from `operand` to `result`."""

    path: tuple[str, ...]
    nodes: tuple[Node, ...]
    operand: Value
    result: Value


@final
@dataclass(slots=True)
class Modules:
    """The modules of one class, where each node's stands, and the chains."""

    root: Branch = field(default_factory=Branch)
    chains: list[Chain] = field(default_factory=list)
    _paths: dict[Value, tuple[str, ...]] = field(default_factory=dict)

    def place(self, node: Node, path: tuple[str, ...], made: Pieces) -> None:
        branch = self.root
        for name in path[:-1]:
            inner = branch.children.setdefault(name, Branch())
            assert isinstance(inner, Branch)
            branch = inner
        branch.children[path[-1]] = made
        self.remember(node, path)

    def remember(self, node: Node, path: tuple[str, ...]) -> None:
        for value in node.results:
            self._paths[value] = path

    def access(self, path: tuple[str, ...]) -> str:
        """`self.main["conv"]`: how a module is reached."""
        first, *rest = path
        text = f"self.{first}" if is_attribute(first) else f"self{_index(self.root.numbered, first)}"
        branch = self.root.children[first]
        for name in rest:
            assert isinstance(branch, Branch)
            text += _index(branch, name)
            branch = branch.children[name]
        return text

    def of(self, node: Node) -> str | None:
        """How a node's module is reached; None when it has none."""
        path = next((self._paths[value] for value in node.results if value in self._paths), None)
        return None if path is None else self.access(path)


def find_modules(graph: Graph, construct: Constructor, stateless: Callable[[Node], bool]) -> Modules:
    """The modules of a graph; `stateless` tells nodes that are printed as functions unless a chain holds them."""
    modules = Modules()
    members: dict[Node, Chain] = {}
    for entry in dict.fromkeys(node.entry for node in graph.nodes):
        chain = _find_chain(graph, entry, construct)
        if chain is not None:
            modules.chains.append(chain)
            members.update(dict.fromkeys(chain.nodes, chain))
    made_before: dict[Pieces, tuple[str, ...]] = {}
    for node in graph.nodes:
        if node in members:
            if node is members[node].nodes[0]:
                _place_chain(modules, members[node], construct)
            continue
        made = None if not node.prefix and stateless(node) else construct(node)
        if made is None:
            continue
        if node.prefix:
            modules.place(node, tuple(node.prefix.split(".")), made)
        elif made in made_before:
            modules.remember(node, made_before[made])
        else:
            path = (_free_name(node.label or node.op.name, modules.root, graph),)
            modules.place(node, path, made)
            made_before[made] = path
    return modules


def find_whole(graph: Graph, construct: Constructor) -> Branch | None:
    """The container that a graph is when its entries 0, 1, … are modules one after another; None for any other graph."""
    entries = list(dict.fromkeys(node.entry for node in graph.nodes))
    if not entries or entries != [str(index) for index in range(len(entries))] or len(graph.inputs) != 1:
        return None
    value, whole = graph.inputs[0], Branch("sequential")
    uses = [operand for node in graph.nodes for operand in node.operands]
    for entry in entries:
        nodes = [node for node in graph.nodes if node.entry == entry]
        chain = _find_chain(graph, entry, construct)
        if chain is not None and (chain.path != (entry,) or chain.nodes != tuple(nodes)):
            return None
        if chain is None and len(nodes) > 1:
            return None
        first, last = nodes[0], nodes[-1]
        made = construct(first)
        if made is None or not _calls_plainly(first) or first.operands != (value,) or uses.count(value) != 1:
            return None
        if chain is None:
            if first.prefix not in ("", entry):
                return None
            whole.children[entry] = made
        else:
            inner = Modules()
            _place_chain(inner, chain, construct)
            whole.children[entry] = inner.root.children[entry]
        (value,) = last.results
    return whole if graph.outputs == {"": value} else None


def _free_name(wanted: str, root: Branch, graph: Graph) -> str:
    taken = {*root.children, *(node.prefix.split(".")[0] for node in graph.nodes)}
    name, count = wanted, 2
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name


def _find_chain(graph: Graph, entry: str, construct: Constructor) -> Chain | None:
    """The longest run of an entry's modules that holds all which own tensors, two at least or one in a container."""
    nodes = [node for node in graph.nodes if node.entry == entry] if entry else []
    owners = [index for index, node in enumerate(nodes) if node.prefix]
    if not owners:
        return None
    read = set(graph.outputs.values()) | {value for name, value in graph.entries.items() if name != entry}
    uses: dict[Value, int] = {}
    for node in graph.nodes:
        for value in node.operands:
            uses[value] = uses.get(value, 0) + 1

    def links(before: Node, node: Node) -> bool:
        (value,) = before.results
        return node.operands == (value,) and uses[value] == 1 and value not in read

    def stage(node: Node) -> bool:
        return len(node.operands) == 1 and len(node.results) == 1 and construct(node) is not None and _calls_plainly(node)

    start, end = owners[0], owners[-1]
    if not all(stage(node) for node in nodes[start : end + 1]):
        return None
    if not all(links(nodes[index], nodes[index + 1]) for index in range(start, end)):
        return None
    while start > 0 and stage(nodes[start - 1]) and links(nodes[start - 1], nodes[start]):
        start -= 1
    while end + 1 < len(nodes) and stage(nodes[end + 1]) and links(nodes[end], nodes[end + 1]):
        end += 1
    path = _common_path([nodes[index] for index in owners])
    inside = ".".join((*path, ""))
    members = set(nodes[start : end + 1])
    if not path or any(node.prefix.startswith(inside) for node in graph.nodes if node not in members):
        return None
    return Chain(path, tuple(nodes[start : end + 1]), nodes[start].operands[0], nodes[end].results[0])


def _calls_plainly(node: Node) -> bool:
    """Whether the module is called with the operand alone."""
    if isinstance(node.op, Call):
        return node.op.reads == ("",) and not called_networks(node.op.graph)
    return node.op.torch_apply(Probe(node), "module", Code("x")) == "module(x)"


def _common_path(owners: list[Node]) -> tuple[str, ...]:
    paths = [node.prefix.split(".") for node in owners]
    if len(paths) == 1:
        return tuple(paths[0][:-1]) if paths[0][-1].isdigit() and len(paths[0]) > 1 else ()
    path: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        path.append(parts[0])
    return () if any(len(item) == len(path) for item in paths) else tuple(path)


def _place_chain(modules: Modules, chain: Chain, construct: Constructor) -> None:
    """A module without tensors stands in the container of the one before it, or of the first."""
    folder = next(tuple(node.prefix.split(".")[:-1]) for node in chain.nodes if node.prefix)
    for node in chain.nodes:
        made = construct(node)
        assert made is not None
        if node.prefix:
            path = tuple(node.prefix.split("."))
            folder = path[:-1]
        else:
            path = (*folder, _free_child(modules.root, folder, node.label or node.op.name))
        modules.place(node, path, made)
    branch = modules.root
    for name in chain.path:
        inner = branch.children[name]
        assert isinstance(inner, Branch)
        branch = inner
    _mark(branch)


def _free_child(root: Branch, folder: tuple[str, ...], wanted: str) -> str:
    branch: Branch | Pieces = root
    for name in folder:
        branch = branch.children.get(name, ()) if isinstance(branch, Branch) else ()
    taken = branch.children if isinstance(branch, Branch) else {}
    name, count = wanted, 2
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name


def _mark(branch: Branch) -> None:
    branch.kind = "sequential"
    for child in branch.children.values():
        if isinstance(child, Branch):
            _mark(child)


def construction(item: Branch | Pieces) -> Pieces:
    """The text that makes a module or a container with all it holds."""
    if not isinstance(item, Branch):
        return item
    children = {name: construction(child) for name, child in item.children.items()}
    if item.is_list:
        made = list(children.values())
        copies = (*made[0], " for _ in range(", Slot("depth", str(len(made))), ")") if len(made) > 1 and len(set(made)) == 1 else None
        if item.kind == "sequential":
            return ("nn.Sequential(*(", *copies, "))") if copies else ("nn.Sequential(", *_joined(made), ")")
        return ("nn.ModuleList(", *copies, ")") if copies else ("nn.ModuleList([", *_joined(made), "])")
    if item.kind == "modules":
        return ("nn.ModuleDict({", *_joined([(f'"{name}": ', *child) for name, child in children.items()]), "})")
    if all(map(is_attribute, children)):
        return ("nn.Sequential(OrderedDict(", *_joined([(f"{name}=", *child) for name, child in children.items()]), "))")
    return ("nn.Sequential(OrderedDict({", *_joined([(f'"{name}": ', *child) for name, child in children.items()]), "}))")


def _joined(items: list[Pieces]) -> list[Piece]:
    pieces: list[Piece] = []
    for index, item in enumerate(items):
        pieces += [", ", *item] if index else item
    return pieces
