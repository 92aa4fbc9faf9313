"""Refuses a run that the machine's memory cannot hold, before any tensor exists. Amounts are bytes, as Python integers.

Counted: weights, gradients, optimizer state, and the results of all nodes of a step. Non-goals: the data, a graphics card's memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from compiler.front.checked import Checked
from compiler.ir.graph import Call, Graph, owned_parameters
from compiler.ir.measure import activation_bytes, node_activation_bytes
from compiler.ir.monomials import DimOverflow
from compiler.ir.training import Adagrad, Adam, AdamW, Lbfgs, Momentum, Optimizer, Program, RmsProp, Sgd, Step
from compiler.ir.types import TensorType
from netlang.training.failures import failure

SHARE: Final = 0.8
TOO_MANY: Final = 2**63
"""Stands for amounts that are beyond what a size may be."""
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def require_memory(checked: Checked, batch: int, limit: int | None = None, *, training: bool = True) -> None:
    """SpecError NL711 with the three largest amounts where a run needs more than `limit`, by default 80 % of what is free."""
    networks = checked.networks
    amounts = dict(_weights(networks))
    if checked.program is not None and training:
        for name, amount in _training(checked.program, networks):
            amounts[name] = amounts.get(name, 0) + amount
        amounts |= _activations(checked.program, batch)
    allowed = int(SHARE * free_memory()) if limit is None else limit
    needed = sum(amounts.values())
    if needed > allowed:
        largest = sorted(amounts.items(), key=lambda item: -item[1])[:3]
        source = "80 % of the memory that is free" if limit is None else "the limit that was given"
        raise failure(
            "NL711",
            f"`{checked.name[:100]}` needs {show_bytes(needed)} of memory, but {show_bytes(allowed)} are allowed, {source}",
            notes=tuple(f"{name}: {show_bytes(amount)}" for name, amount in largest),
            help="make the batch or the largest parts smaller, or allow more with `--max-bytes`",
        )


def _weights(networks: Mapping[str, Graph]) -> Iterator[tuple[str, int]]:
    for name, graph in networks.items():
        for key, item in owned_parameters(graph):
            yield f"`{name}.{key}` with its gradient and optimizer state", bytes_of(item.type)


def _training(program: Program, networks: Mapping[str, Graph]) -> Iterator[tuple[str, int]]:
    """Gradients and optimizer states of what the steps update."""
    for step in program.steps:
        for name in step.update:
            for key, item in owned_parameters(networks[name]):
                if item.trainable:
                    yield f"`{name}.{key}` with its gradient and optimizer state", bytes_of(item.type) * (1 + count_states(step.optimizer))


def count_states(optimizer: Optimizer) -> int:
    """How many numbers an optimizer keeps for each weight."""
    match optimizer:
        case Sgd() | Momentum():
            return int(optimizer.momentum != 0)
        case RmsProp():
            return 1 + int(optimizer.momentum != 0) + int(optimizer.centered)
        case Adam() | AdamW():
            return 2 + int(optimizer.amsgrad)
        case Adagrad():
            return 1
        case Lbfgs():
            return 2 * optimizer.history_size + 3
        case _:
            return 2


def _activations(program: Program, batch: int) -> dict[str, int]:
    """What the hungriest step keeps for its backward pass, by network entry."""
    totals = [(_total(step, batch), step) for step in program.steps]
    if not totals:
        return {}
    total, step = max(totals, key=lambda item: item[0])
    named = _by_entry(step, batch)
    return {**named, f"other results of step `{step.name}`": max(total - sum(named.values()), 0)}


def _total(step: Step, batch: int) -> int:
    try:
        return activation_bytes(step.graph).substitute({"N": batch}).constant or 0
    except DimOverflow:
        return TOO_MANY


def _by_entry(step: Step, batch: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in step.graph.nodes:
        if not isinstance(node.op, Call):
            continue
        sizes = dict(node.op.sizes)
        for inner in node.op.graph.nodes:
            try:
                amount = node_activation_bytes(inner).substitute(sizes).substitute({"N": batch}).constant or 0
            except DimOverflow:
                amount = TOO_MANY
            name = f"results of `{node.op.graph.name}.{inner.entry}` for a batch of {batch}"
            found[name] = found.get(name, 0) + amount
    return found


def bytes_of(type: TensorType) -> int:
    """Exact however large; 0 where a size is not known before the run."""
    return math.prod(dim.constant or 0 for dim in type.shape) * type.dtype.bytes


def free_memory() -> int:
    """The least of what the system has available and what this process's control groups still allow."""
    limits = [2**63]
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            limits.append(int(line.split()[1]) * 1024)
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        for folder in _control_groups():
            allowed, taken = ("".join(_read_lines(folder / name)) for name in (limit, used))
            if allowed.isdigit():
                limits.append(max(int(allowed) - (int(taken) if taken.isdigit() else 0), 0))
    return min(limits)


def _control_groups() -> Iterator[Path]:
    root = Path("/sys/fs/cgroup")
    yield root
    for line in _read_lines(Path("/proc/self/cgroup")):
        path = root / line.split(":", 2)[2].lstrip("/")
        while path != root and path.is_relative_to(root):
            yield path
            path = path.parent


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def show_bytes(amount: int) -> str:
    """An amount in the largest unit that leaves it at least 1."""
    value = float(amount)
    for unit in UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} {UNITS[-1]}"
