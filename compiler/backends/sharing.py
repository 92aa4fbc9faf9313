"""What printed files share whatever their library: which blocks are printed together, and what is read from graphs."""

from __future__ import annotations

from typing import TypeAlias

from compiler.backends.names import Names, identifier
from compiler.ir.graph import Call, Graph
from compiler.ir.prune import prune

Reads: TypeAlias = tuple[str, ...]
"""Names of outputs and entries that one call reads; "" is the unnamed output."""


def collect_reads(graphs: list[Graph]) -> dict[str, list[Reads]]:
    """By graph name, the reads that need functions of their own."""
    found: dict[str, list[Reads]] = {}
    for graph in graphs:
        for node in graph.nodes:
            if isinstance(node.op, Call) and node.op.reads and not reads_by_forward(node.op.graph, node.op.reads):
                known = found.setdefault(node.op.graph.name, [])
                if node.op.reads not in known:
                    known.append(node.op.reads)
    return found


def output_fields(graph: Graph) -> dict[str, str]:
    """Fields of the record of a graph's outputs."""
    names = Names({"count", "index"})
    return {name: names.claim(name or "output") for name in graph.outputs}


def reads_by_forward(graph: Graph, reads: Reads) -> bool:
    """Whether `forward` computes these reads and nothing else."""
    if reads == tuple(graph.outputs):
        return True
    if len(reads) != 1 or reads[0] not in graph.outputs:
        return False
    return len(prune(graph, reads).nodes) == len(prune(graph, tuple(graph.outputs)).nodes)


def read_method(reads: Reads) -> str:
    """The name of the method that computes these outputs and entries."""
    words = [identifier(name) if name else "output" for name in reads]
    if len(words) > 4:
        words = [words[0], "to", words[-1], str(len(words))]
    return f"read_{'_'.join(words)}"


def block_groups(order: list[Graph]) -> list[list[Graph]]:
    """Blocks of one name together, after all that any of them calls; apart where blocks of two names call each other."""
    levels: dict[Graph, int] = {}
    for graph in order:
        levels[graph] = 1 + max((levels[node.op.graph] for node in graph.nodes if isinstance(node.op, Call)), default=0)
    highest: dict[str, int] = {}
    for graph, level in levels.items():
        highest[graph.name] = max(level, highest.get(graph.name, 0))
    calls = [(graph.name, node.op.graph.name) for graph in order for node in graph.nodes if isinstance(node.op, Call)]
    together = all(highest[caller] > highest[callee] for caller, callee in calls)
    groups: dict[tuple[int, str], list[Graph]] = {}
    for graph in order:
        if graph.kind == "block":
            groups.setdefault((highest[graph.name] if together else levels[graph], graph.name), []).append(graph)
    return [members for _, members in sorted(groups.items(), key=lambda item: item[0][0])]
