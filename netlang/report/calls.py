"""Records (ops, optimizers, schedules, readers) as the calls that a spec would write."""

from __future__ import annotations

import dataclasses
from typing import Any

from compiler.front.values import BlockFunction, OpFunction, Partial
from compiler.ir.cell import Cell
from compiler.ir.signature import format_constant, signature_of
from compiler.ops.index import Index, items_text


def describe_record(record: Any, *, named: bool = False, full: bool = False, always: tuple[str, ...] = ()) -> str:
    """`conv(6, 5, pad=2)`: what is required by place (`named`: by name), the rest where it is no default (all if `full`).

    The attributes `always` are shown whatever they are. An index is shown by its brackets.
    """
    if isinstance(record, Index):
        return f"[{items_text(str, record.items)}]"
    parts = []
    by_place = not named
    for attribute in signature_of(type(record)).attributes:
        value = getattr(record, attribute.name)
        by_place = by_place and attribute.required
        if by_place:
            parts.append(describe_value(value))
        elif full or attribute.required or attribute.name in always or value != attribute.default:
            parts.append(f"{attribute.name}={describe_value(value)}")
    return f"{record.name}({', '.join(parts)})" if parts else str(record.name)


def describe_value(value: object) -> str:
    """A constant as a spec would write it: records by `describe_record`, ops and blocks by name, cells with their sizes."""
    if isinstance(value, OpFunction):
        return value.op.name
    if isinstance(value, Cell):
        constants = (f"{name}={describe_value(item)}" for name, item in value.graph.constants.items())
        return f"{value.name}({', '.join(constants)})"
    if isinstance(value, BlockFunction):
        return value.definition.name
    if isinstance(value, Partial):
        return value.text
    return describe_record(value) if dataclasses.is_dataclass(value) and hasattr(value, "name") else format_constant(value)
