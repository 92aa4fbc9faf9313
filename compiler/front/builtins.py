"""Constructs of the language that are called like functions: `repeat` in networks; `params`, `flops` and `shape` as constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.front.calls import apply, coerce
from compiler.front.constants import ConstantError, checked
from compiler.front.limits import REPEATED
from compiler.front.matching import Mismatch, match_types
from compiler.front.scope import Frame, Task
from compiler.front.values import POISON, Argument, Function, NetworkFunction, Partial, Poison, describe
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.measure import multiply_adds, parameter_count, per_example
from compiler.ir.types import TensorType

LARGEST_REPEAT = 10_000


def _repeat(frame: Frame, partial: Partial, incoming: Argument | None) -> Task:
    """`repeat(16, residual(64))` chains fresh copies."""
    if partial.keywords or len(partial.arguments) not in (2, 3):
        frame.sink.report(
            "NL304", "`repeat` takes a count and what to repeat", partial.span, help="write `repeat(3, residual(64))`", notes=frame.notes
        )
        return POISON
    *head, count, function = partial.arguments
    if head:
        incoming = head[0]
    if isinstance(count.value, Poison) or isinstance(function.value, Poison):
        return POISON
    if isinstance(count.value, bool) or not isinstance(count.value, int) or not 0 <= count.value <= LARGEST_REPEAT:
        frame.sink.report(
            "NL305",
            f"`repeat` counts from 0 to {LARGEST_REPEAT}, but `{count.text}` is {describe(count.value, count.text)}",
            count.span,
            notes=frame.notes,
        )
        return POISON
    if not isinstance(function.value, Function):
        frame.sink.report(
            "NL305",
            f"`repeat` expects a block, a network or an op, but `{function.text}` is {describe(function.value, function.text)}",
            function.span,
            help="leave out its first operand: `repeat(3, residual(64))`",
            notes=frame.notes,
        )
        return POISON
    if incoming is None:
        return partial
    if frame.builder is None:
        frame.sink.report("NL317", "`repeat` makes tensors, and only constants can stand here", partial.span, notes=frame.notes)
        return POISON
    value: Any = incoming.value
    before = frame.builder.size
    for _ in range(count.value):
        if frame.builder.size - before >= REPEATED:
            message = f"this repeats more than {REPEATED:,} ops"
            frame.sink.report("NL150", message, partial.span, help="repeat fewer times, or a block", notes=frame.notes)
            return POISON
        with frame.builder.open_copy():
            value = yield apply(frame, function.value, Argument(value, incoming.span, incoming.text), function.span, function.text)
        if isinstance(value, Poison):
            return POISON
    return value


def _graph_of(frame: Frame, name: str, partial: Partial, incoming: Argument | None) -> Graph | None:
    """The network that a measuring function is asked about; None when reported."""
    if len(partial.arguments) != 1 or incoming is not None:
        frame.sink.report("NL304", f"`{name}` takes one network", partial.span, help=f"write `{name}(net)`")
        return None
    (argument,) = partial.arguments
    if isinstance(argument.value, NetworkFunction):
        return argument.value.graph
    if not isinstance(argument.value, Poison):
        frame.sink.report(
            "NL305", f"`{name}` expects a network, but `{argument.text}` is {describe(argument.value, argument.text)}", argument.span
        )
    return None


def _params(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """Trained numbers of a network."""
    graph = _graph_of(frame, "params", partial, incoming)
    return POISON if graph is None else parameter_count(graph)


def _flops(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """Multiply-adds of a network for one example; `flops(net, image=[1, 3, 224, 224])` fixes sizes that the network leaves open."""
    graph = _graph_of(frame, "flops", partial, incoming)
    if graph is None:
        return POISON
    sizes: dict[str, Dim] = {}
    for key, argument in partial.keywords.items():
        declared = next((value.type for value in graph.inputs if value.name == key), None)
        if declared is None:
            frame.elaboration.report_near(
                "NL302", f"`{graph.name}` has no input `{key}`", argument.span, key, [item.name for item in graph.inputs]
            )
            return POISON
        shape = argument.value
        if isinstance(shape, Poison):
            return POISON
        fits = isinstance(shape, tuple) and all(isinstance(item, int) and not isinstance(item, bool) for item in shape)
        matched = match_types([declared], [TensorType.of(declared.dtype, *shape)]) if fits and len(shape) == declared.rank else None
        if matched is None or isinstance(matched, Mismatch):
            frame.sink.report("NL201", f"`{graph.name}` takes `{key}` as {declared}, not `{argument.text}`", argument.span)
            return POISON
        sizes.update(matched)
    amount = multiply_adds(graph)
    try:
        return checked(amount.substitute(sizes) if sizes else per_example(graph, amount))
    except ConstantError as error:
        frame.sink.report("NL313", error.message, partial.span)
        return POISON


def _shape(frame: Frame, partial: Partial, incoming: Argument | None) -> Any:
    """The sizes of a tensor, as a list."""
    arguments = [incoming, *partial.arguments] if incoming is not None else list(partial.arguments)
    if len(arguments) != 1 or partial.keywords:
        frame.sink.report("NL304", "`shape` takes one tensor", partial.span, help="write `shape(net(x))`")
        return POISON
    tensor = coerce(frame, arguments[0])
    return tuple(checked(dim) for dim in tensor.type.shape) if isinstance(tensor, Value) else POISON


BUILTINS: dict[str, Callable[[Frame, Partial, Argument | None], Any]] = {
    "repeat": _repeat,
    "params": _params,
    "flops": _flops,
    "shape": _shape,
}
