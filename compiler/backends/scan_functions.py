"""The two functions of a scan: arguments, results and what passes between them, around the loops that `scan_kernels` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.scan_backward import BackwardFunction
from compiler.backends.scan_forward import ForwardFunction
from compiler.backends.wrapping import INDENT, WIDTH, split_items, wrap
from compiler.ir.types import TensorType
from compiler.passes.scan_plan import ScanPlan

RESERVED: Final = ("torch", "product", "steps", "fixed", "whole", "empty", "np", "zip", "range", "reversed", "max", "min", "first")


@final
@dataclass(frozen=True, slots=True)
class SavedSlab:
    """What the forward function hands to the backward one: lanes of a type for every step, `slots` 1 for states."""

    type: TensorType
    lanes: int
    slots: int


@final
@dataclass(frozen=True, slots=True)
class ScanText:
    """The printed functions `{name}_forward` and `{name}_backward`.

    forward(sequences…, masks…, first states…, parameters…, keep) gives the outputs, the final states, and what was saved (a tuple).
    backward(gradient of outputs, of final states…, sequences…, masks…, parameters…, saved) gives the gradients of sequences, first
    states and parameters, in order; None where there is none. Sequences are [T, N, …] and contiguous; first states may be None.
    """

    name: str
    text: str
    saved: tuple[SavedSlab, ...]
    used: dict[str, Callable[..., Any]]
    masks: tuple[int, ...]


def print_scan(plan: ScanPlan, name: str, taken: Iterable[str] = (), *, tensors: bool = False) -> ScanText:
    """The text of both functions; with `tensors` torch does the products, on the memory of the arrays."""
    reserved = {*taken, *RESERVED, f"{name}_forward", f"{name}_backward"}
    forward = ForwardFunction(plan, name, reserved, tensors=tensors)
    first = forward.print()
    backward = BackwardFunction(plan, name, reserved, forward, tensors=tensors)
    second = backward.print()
    saved = tuple(SavedSlab(slab.type, slab.lanes, slab.slots) for slab in forward.saved)
    masks = tuple(value.type.rank for value in plan.forward.masks)
    text = "\n".join(line for item in f"{first}\n\n\n{second}".splitlines() for line in _tidy(item))
    return ScanText(name, text, saved, forward.kernel.used | backward.kernel.used, masks)


def _tidy(line: str) -> Iterator[str]:
    """A statement in lines that are not too long."""
    text = line.lstrip()
    depth = (len(line) - len(text)) // 4
    if len(line) <= WIDTH or not text:
        yield line
    elif text.startswith("return "):
        yield from wrap(f"return ({text.removeprefix('return ')})", depth)
    elif text.startswith("for "):
        names, _, views = text.removeprefix("for ").partition(" in zip(")
        yield f"{INDENT * depth}for ("
        yield from (f"{INDENT * (depth + 1)}{name}," for name in split_items(names))
        yield f"{INDENT * depth}) in zip("
        yield from (f"{INDENT * (depth + 1)}{view}," for view in split_items(views.removesuffix("):")))
        yield f"{INDENT * depth}):"
    else:
        yield from wrap(text, depth)
