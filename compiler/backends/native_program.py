"""Moves what stands around a scan's loop into it, where it is done in C: numbers that are there once in a register need no memory.

Contract: the program makes the same values. What is moved is element-wise on rows of numbers, or a product of rows by weights; sums over
the batch of values that the loop has are taken out and named, for the loop can add them up. Non-goals: the loop itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from compiler.backends.native_kernels import SINGLE
from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.types import DType, TensorType
from compiler.ops.reduce import Sum, reduced_axes
from compiler.passes.scan_algebra import CARRIED, SETUP, Program
from compiler.passes.scan_steps import TRUTHS, Step, Unsupported

OPERATORS: Final = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "greater": "{} > {}",
    "less": "{} < {}",
    "greater_equal": "{} >= {}",
    "less_equal": "{} <= {}",
    "equal": "{} == {}",
    "not_equal": "{} != {}",
    "logical_and": "{} & {}",
    "logical_or": "{} | {}",
    "logical_not": "~{}",
}
RENAMED: Final = {"absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctanh": "atanh"}
OUTER: Final = "outer"
"""The function of a step that multiplies all rows of a value, turned, by those of another."""
OWN: Final = {"abs", "negative", "copysign", "exp", "tanh", "square", "reciprocal", "sign", "maximum", "minimum", "power"}
TOTAL: Final = "total"
"""The function of a step that adds a value up over rows and time."""


@final
@dataclass(frozen=True, slots=True)
class Settled:
    """A program with as much as may be in its loop; `totals` are by value the steps that add another up.

    `outers` are by value the products of two others, rows of numbers, over all rows, the first of them turned.
    """

    program: Program
    totals: Mapping[Value, Step] = field(default_factory=dict)
    outers: Mapping[Value, Step] = field(default_factory=dict)


def settle(program: Program) -> Settled:
    """The program with what stands around its loop moved into it; raises Unsupported where the loop itself is more than C can do."""
    level = program.level
    for step in program.loop:
        check(step, level)
    before: list[Step] = []
    moved: list[Step] = []
    for step in reversed(program.before):
        used = any(step.result in other.values for other in before)
        (before if used or not fits(step, level) else moved).append(step)
    after: list[Step] = []
    behind: list[Step] = []
    for step in program.after:
        used = any(other.result in step.values for other in after)
        (after if used or not fits(step, level) else behind).append(step)
    totals = {step.result: Step(TOTAL, step.operands, step.result) for step in after if _is_total(step, after)}
    after = [step for step in after if step.result not in totals]
    outers = _find_outers(after, level, {step.result for step in (*moved, *program.loop, *behind)})
    after = [step for step in after if step.result not in outers]
    read = {value for step in after for value in step.values}.union(item for item in program.results.values() if isinstance(item, Value))
    after = [step for step in after if step.function != "transpose" or step.result in read]
    level.update((step.result, CARRIED) for step in (*moved, *behind))
    loop = [*reversed(moved), *program.loop, *behind]
    return Settled(replace(program, before=before[::-1], loop=loop, after=after), totals, outers)


def _is_total(step: Step, after: list[Step]) -> bool:
    """Whether a step sums rows of numbers over the batch, and nothing but the result reads it."""
    if step.function != "text" or step.node is None or not isinstance(step.node.op, Sum) or len(step.values) != 1:
        return False
    op, (value,) = step.node.op, step.values
    if value.type.dtype is not DType.f32 or not _is_row(value.type):
        return False
    if op.keepdims or reduced_axes(op.name, op.axis, value.type.rank) != (0,):
        return False
    return not any(value is other.result or step.result in other.values for other in after)


def _find_outers(after: list[Step], level: Mapping[Value, int], made: set[Value]) -> dict[Value, Step]:
    """The products of rows by rows after the loop that nothing there reads."""
    producer = {step.result: step for step in after}
    read = {value for step in after for value in step.values}
    found: dict[Value, Step] = {}
    for step in after:
        turned = producer.get(step.values[0]) if step.function == "matmul" else None
        if turned is None or turned.function != "transpose" or step.result in read:
            continue
        pair = turned.values[0], step.values[1]
        rows = all(value.type.rank == 2 and _is_row(value.type) and value.type.dtype is DType.f32 for value in pair)
        if rows and not any(value in producer or (value not in made and level[value] == CARRIED) for value in pair):
            found[step.result] = Step(OUTER, pair, step.result)
    return found


def row_width(type: TensorType) -> int:
    """How many numbers an example has; raises Unsupported where they are no row."""
    if not _is_row(type):
        raise Unsupported(f"values of the shape {type}")
    return type.shape[1].constant or 0 if type.rank == 2 else 1


def _is_row(type: TensorType) -> bool:
    if type.rank not in (1, 2) or BATCH not in type.shape[0].symbols or type.dtype not in (DType.f32, DType.bool):
        return False
    return all(dim.constant for dim in type.shape[1:])


def fits(step: Step, level: Mapping[Value, int]) -> bool:
    """Whether a step may be done in C."""
    try:
        check(step, level)
    except Unsupported:
        return False
    return True


def check(step: Step, level: Mapping[Value, int]) -> None:
    """Raise Unsupported where a step may not be done in C."""
    if step.function in ("matmul", "contract"):
        _check_product(step, level)
        return
    name = RENAMED.get(step.function, step.function)
    if name not in OPERATORS and name not in OWN and name not in SINGLE and name != "where":
        raise Unsupported(f"`{step.node.op.name if step.node is not None else step.function}` in the loop")
    if (step.result.type.dtype is DType.bool) != (step.function in TRUTHS):
        raise Unsupported(f"`{step.function}` of truth values")
    width = row_width(step.result.type)
    for value in step.values:
        if level[value] != SETUP:
            if row_width(value.type) not in (1, width):
                raise Unsupported(f"values of the shape {value.type}")
            continue
        sizes = [dim.constant for dim in value.type.shape]
        if value.type.dtype is not DType.f32 or any(size != 1 for size in sizes[:-1]) or sizes[-1:] not in ([], [1], [width]):
            raise Unsupported(f"weights of the shape {value.type}")


def _check_product(step: Step, level: Mapping[Value, int]) -> None:
    row_width(step.result.type)
    for left, right in zip(step.values[::2], step.values[1::2], strict=True):
        floats = left.type.dtype is DType.f32 and right.type.dtype is DType.f32
        sizes = [dim.constant for dim in right.type.shape]
        fits = left.type.rank == 2 and len(sizes) == 2 and all(sizes)
        if not floats or not fits or level[right] != SETUP or level[left] == SETUP:
            raise Unsupported("a product of anything but rows by weights")
