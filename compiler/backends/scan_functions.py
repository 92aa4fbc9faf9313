"""The two functions of a scan: arguments, results and what passes between them, around the loops that `scan_kernels` prints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from compiler.backends.names import TAKEN
from compiler.backends.scan_backward import BackwardFunction
from compiler.backends.scan_forward import ForwardFunction
from compiler.backends.wrapping import INDENT, WIDTH, split_items, wrap
from compiler.passes.scan_plan import ScanPlan

if TYPE_CHECKING:
    from compiler.backends.native_source import NativeText

ENDINGS: Final = ("scan", "loop", "vendor", "forward", "backward", "masked_forward", "masked_backward")
RESERVED: Final = ("torch", "product", "steps", "fixed", "whole", "empty", "np", "zip", "range", "reversed", "max", "min", "first")


@final
@dataclass(frozen=True, slots=True)
class ScanText:
    """The printed functions `{name}_forward` and `{name}_backward`.

    forward(sequences…, masks…, first states…, parameters…, keep) gives the outputs, the final states, and what was saved (a tuple).
    backward(gradient of outputs, of final states…, sequences…, masks…, parameters…, saved) gives the gradients of sequences, first
    states and parameters, in order; None where there is none. Sequences are [T, N, …] and contiguous; first states may be None.
    """

    name: str
    forward: str
    backward: str
    used: dict[str, Callable[..., Any]]
    masks: tuple[int, ...]

    @property
    def text(self) -> str:
        """Both functions."""
        return f"{self.forward}\n\n\n{self.backward}"


def claim_stem(wanted: str, taken: Collection[str]) -> str:
    """A name under which all functions of a scan are free."""
    stem, count = wanted, 2
    while any(name in taken or name in TAKEN for name in stem_names(stem)):
        stem, count = f"{wanted}_{count}", count + 1
    return stem


def stem_names(stem: str) -> list[str]:
    """Every name that a printed scan may define."""
    return [*(f"{stem}_{ending}" for ending in ENDINGS), f"{stem.upper()}_SCAN", f"{stem.upper()}_MASKED_SCAN"]


def print_scan(
    plan: ScanPlan, name: str, taken: Iterable[str] = (), *, tensors: bool = False, native: NativeText | None = None
) -> ScanText:
    """The text of both functions; with `tensors` torch does the products, on the memory of the arrays; `native` prints the loops."""
    reserved = {*taken, *RESERVED, f"{name}_forward", f"{name}_backward"}
    forward = ForwardFunction(plan, name, reserved, tensors=tensors, native=native)
    first = forward.print()
    backward = BackwardFunction(plan, name, reserved, forward, tensors=tensors)
    second = backward.print()
    masks = tuple(value.type.rank for value in plan.forward.masks)
    return ScanText(name, _tidy_all(first), _tidy_all(second), forward.kernel.used | backward.kernel.used, masks)


def _tidy_all(text: str) -> str:
    return "\n".join(line for item in text.splitlines() for line in _tidy(item))


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
