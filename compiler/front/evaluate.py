"""Evaluates expressions: constants are computed, tensors become nodes of the frame's graph.

Every evaluator is a task (see `scope.run`): it yields what it waits for, so depth never meets Python's recursion limit.
What is wrong is reported once, and its value is poison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.front import ast
from compiler.front.ast import names_in
from compiler.front.binding import report_unknown_name
from compiler.front.calls import apply, call, coerce, operate, report_unknown_function, rule_diagnostic
from compiler.front.constants import ConstantError, checked, combine
from compiler.front.scope import Frame, Local, Task
from compiler.front.suggest import suggest
from compiler.front.values import (
    POISON,
    Applied,
    Argument,
    Composed,
    Function,
    Partial,
    Poison,
    Source,
    Unresolved,
    describe,
    is_constant,
    is_tensor,
)
from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from compiler.ir.op import RuleError
from compiler.ops import make_op
from compiler.source import Span

OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
}  # fmt: skip

DEEPEST_LIST = 8


def evaluate(frame: Frame, expr: ast.Expr) -> Task:
    """The value of an expression; a name that means nothing is reported."""
    value = yield evaluate_loosely(frame, expr)
    if isinstance(value, Unresolved):
        report_unknown_name(frame, value)
        return POISON
    return value


def evaluate_loosely(frame: Frame, expr: ast.Expr) -> Any:
    """The value of an expression, or the task of it; `Unresolved` for a name that means nothing (an enumeration may take it)."""
    return EVALUATORS[type(expr)](frame, expr)


def evaluate_constant(frame: Frame, expr: ast.Expr) -> Task:
    """The value of an expression that must be a constant."""
    value = yield evaluate(frame, expr)
    if isinstance(value, Poison) or is_constant(value):
        return value
    text = frame.text(expr)
    frame.sink.report("NL311", f"a constant is needed here, but `{text}` is {describe(value, text)}", frame.span(expr), notes=frame.notes)
    return POISON


def _literal(frame: Frame, expr: ast.Literal) -> Any:
    try:
        return checked(expr.value)
    except ConstantError as error:
        return _report_constant(frame, expr, error)


def _name(frame: Frame, expr: ast.Name) -> Task:
    local: Local | None = frame.local
    while local is not None:
        if expr.name in local.values:
            local.used.add(expr.name)
            return local.values[expr.name]
        if expr.name in local.pending and not frame.file.knows(expr.name):
            frame.sink.report(
                "NL141",
                f"`{expr.name}` is used before it is defined",
                frame.span(expr),
                help="an entry can only use what stands above it; move it up",
                notes=frame.notes,
            )
            return POISON
        local = local.outer
    if expr.name in frame.file.spec.lets:
        return (yield frame.elaboration.constant(frame.file, expr.name))
    resolved = yield frame.elaboration.resolve(frame.file, expr.name)
    if resolved is not None:
        return resolved
    if frame.incomplete and suggest(expr.name, frame.known_names(), frame.sink) is None:
        return POISON
    return Unresolved(expr.name, frame.span(expr))


def _member(frame: Frame, expr: ast.Member) -> Task:
    base = yield evaluate(frame, expr.base)
    if isinstance(base, Poison):
        return POISON
    found = base.read(expr.name) if isinstance(base, Applied | Source) else None
    if found is not None:
        return found
    span = frame.scalar.locate(expr.name_start, expr.end)
    if isinstance(base, Applied):
        known = [name for name in (*base.graph.outputs, *base.graph.entries) if name]
        frame.elaboration.report_near(
            "NL315", f"`{base.graph.name}` has no output or entry `{expr.name}`", span, expr.name, known, notes=frame.notes
        )
    elif isinstance(base, Source):
        frame.elaboration.report_near("NL315", f"`{base.name}` has no field `{expr.name}`", span, expr.name, list(base.fields))
    else:
        text = frame.text(expr.base)
        help_text = f"its sizes are `shape({text})`" if expr.name == "shape" and isinstance(base, Value) else None
        frame.sink.report("NL315", f"`{text}` is {describe(base, text)}: it has no members", span, help=help_text, notes=frame.notes)
    return POISON


def _call(frame: Frame, expr: ast.Call) -> Task:
    return call(frame, expr, None)


def _pipe(frame: Frame, expr: ast.Pipe) -> Task:
    return evaluate_pipeline(frame, expr, None)


def evaluate_pipeline(frame: Frame, expr: ast.Expr, incoming: Argument | None) -> Task:
    """The value of a pipeline; a head that is a function works on `incoming`, or makes a function of the whole."""
    first, *rest = expr.stages if isinstance(expr, ast.Pipe) else (expr,)
    value = yield evaluate(frame, first)
    if isinstance(value, Function) and incoming is not None:
        if isinstance(value, Partial) and any(is_tensor(item.value) for item in value.arguments):
            return coerce(frame, Argument(value, frame.span(first), frame.text(first), first))
        value = yield apply(frame, value, incoming, frame.span(first), frame.text(first))
    if isinstance(value, Function) and rest:
        return (yield _compose(frame, (value, frame.span(first), frame.text(first)), rest))
    end = first.end
    for stage in rest:
        argument = Argument(value, frame.scalar.locate(first.start, end), _shorten(frame.scalar.value[first.start : end]))
        end = stage.end
        if isinstance(stage, ast.Call):
            value = yield call(frame, stage, argument)
            continue
        function = yield evaluate_loosely(frame, stage)
        if not _accept_stage(frame, stage, function):
            return POISON
        value = yield apply(frame, function, argument, frame.span(stage), frame.text(stage))
    return value


def _compose(frame: Frame, head: tuple[Function, Span, str], rest: list[ast.Expr]) -> Task:
    stages = [head]
    for stage in rest:
        function = yield call(frame, stage, None, awaits=True) if isinstance(stage, ast.Call) else evaluate_loosely(frame, stage)
        if not _accept_stage(frame, stage, function):
            return POISON
        stages.append((function, frame.span(stage), frame.text(stage)))
    return Composed(tuple(stages))


def _shorten(text: str) -> str:
    """A pipeline's beginning as a message shows it: its last stages."""
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"…{text[-37:]}"


def _accept_stage(frame: Frame, stage: ast.Expr, value: Any) -> bool:
    if isinstance(value, Function):
        return True
    if isinstance(value, Unresolved):
        report_unknown_function(frame, value)
    elif not isinstance(value, Poison):
        text = frame.text(stage)
        frame.sink.report(
            "NL310",
            f"`{text}` is {describe(value, text)}, and after `->` stands an op, a block or a network",
            frame.span(stage),
            help=f"join two tensors by an operator or an op, such as `x + {text}`" if is_tensor(value) else None,
            notes=frame.notes,
        )
    return False


def _index(frame: Frame, expr: ast.Index) -> Task:
    base = yield evaluate(frame, expr.base)
    items: list[Any] = []
    for item in expr.items:
        items.append((yield _index_item(frame, item)))
    if isinstance(base, Poison) or any(isinstance(item, Poison) for item in items):
        return POISON
    if isinstance(base, tuple):
        position = items[0] if len(items) == 1 else None
        if isinstance(position, int) and not isinstance(position, bool) and -len(base) <= position < len(base):
            return base[position]
        _report_no_item(frame, expr, base, position)
        return POISON
    tensor = coerce(frame, Argument(base, frame.span(expr.base), frame.text(expr.base), expr.base))
    if not isinstance(tensor, Value) or frame.builder is None or not frame.elaboration.spend(frame.span(expr)):
        return POISON
    op = make_op("index", items=tuple(items))
    try:
        return frame.builder.add(op, (tensor,), frame.span(expr))[0]
    except RuleError as error:
        operand = Argument(tensor, frame.span(expr.base), frame.text(expr.base))
        frame.sink.add(rule_diagnostic(frame, error, {"x": operand}, frame.scalar.locate(expr.base.end, expr.end)))
        return POISON


def _report_no_item(frame: Frame, expr: ast.Index, items: tuple[Any, ...], position: Any) -> None:
    whole = frame.text(expr.base)
    if isinstance(position, int) and not isinstance(position, bool):
        message = f"`{whole}` has {len(items)} items, and none at {position}"
    else:
        message = f"`{whole}` is a list: an item is read by one integer"
    help_text = f"the first is `{whole}[0]`, the last `{whole}[-1]`" if items else None
    frame.sink.report("NL316", message, frame.scalar.locate(expr.base.end, expr.end), help=help_text, notes=frame.notes)


def _index_item(frame: Frame, item: ast.Expr) -> Task:
    if isinstance(item, ast.Ellipsis):
        return "..."
    parts: tuple[ast.Expr | None, ...] = (item.lower, item.upper, item.step) if isinstance(item, ast.Slice) else (item,)
    numbers: list[Any] = []
    for part in parts:
        value = None if part is None else (yield evaluate_constant(frame, part))
        if isinstance(value, Poison):
            return POISON
        if part is not None and (isinstance(value, bool) or not isinstance(value, int | Dim)):
            text = frame.text(part)
            frame.sink.report(
                "NL311", f"an index is an integer, but `{text}` is {describe(value, text)}", frame.span(part), notes=frame.notes
            )
            return POISON
        numbers.append(value)
    return tuple(numbers) if isinstance(item, ast.Slice) else numbers[0]


def _written(frame: Frame, expr: ast.Expr, value: Any) -> Argument:
    return Argument(value, frame.span(expr), frame.text(expr), expr)


def _unary(frame: Frame, expr: ast.Unary) -> Task:
    value = yield evaluate(frame, expr.operand)
    if isinstance(value, Poison):
        return POISON
    if is_constant(value):
        try:
            if expr.operator == "not":
                if not isinstance(value, bool):
                    raise ConstantError("`not` takes `true` or `false`")
                return not value
            return combine("-", 0, value) if not isinstance(value, float) else -value
        except ConstantError as error:
            return _report_constant(frame, expr, error)
    op = "logical_not" if expr.operator == "not" else "neg"
    return operate(frame, make_op(op), [_written(frame, expr.operand, value)], frame.span(expr))


def _chain(frame: Frame, expr: ast.Chain) -> Task:
    left = _written(frame, expr.first, (yield evaluate(frame, expr.first)))
    for symbol, operand in expr.rest:
        if symbol in ("and", "or") and isinstance(left.value, bool) and left.value == (symbol == "or"):
            return left.value
        right = _written(frame, operand, (yield evaluate(frame, operand)))
        span = frame.scalar.locate(expr.start, operand.end)
        value = _combine(frame, symbol, left, right, span)
        if isinstance(value, Poison):
            return POISON
        text = " ".join(frame.scalar.value[expr.start : operand.end].split())
        left = Argument(value, span, text if len(text) <= 40 else f"{text[:37]}…", expr)
    return left.value


def _combine(frame: Frame, symbol: str, left: Argument, right: Argument, span: Any) -> Any:
    if isinstance(left.value, Poison) or isinstance(right.value, Poison):
        return POISON
    if symbol in ("and", "or"):
        for side in (left, right):
            if not isinstance(side.value, bool):
                frame.sink.report(
                    "NL313",
                    f"`{symbol}` takes `true` or `false`, but `{side.text}` is {describe(side.value, side.text)}",
                    side.span,
                    help=f"for tensors use `logical_{symbol}(a, b)`" if is_tensor(side.value) else None,
                    notes=frame.notes,
                )
                return POISON
        return (left.value and right.value) if symbol == "and" else (left.value or right.value)
    if is_constant(left.value) and is_constant(right.value):
        try:
            return combine(symbol, left.value, right.value)
        except ConstantError as error:
            return _report_failure(frame, error, span)
    if symbol in ("==", "!=") and isinstance(left.value, Function) and isinstance(right.value, Function):
        return (left.value == right.value) == (symbol == "==")
    return operate(frame, make_op(OPERATORS[symbol]), [left, right], span)


def choose_branch(frame: Frame, expr: ast.Conditional) -> Task:
    """The side of a conditional that its test chooses; None when reported. What the other side names counts as used."""
    test = yield evaluate(frame, expr.test)
    if isinstance(test, Poison):
        return None
    if not isinstance(test, bool):
        text = frame.text(expr.test)
        frame.sink.report(
            "NL314",
            f"a condition must be `true` or `false` before anything runs, but `{text}` is {describe(test, text)}",
            frame.span(expr.test),
            help="to choose between tensors element by element use `where(condition, a, b)`" if is_tensor(test) else None,
            notes=frame.notes,
        )
        return None
    for name in names_in(expr.otherwise if test else expr.then):
        _mark_used(frame.local, name.name)
    return expr.then if test else expr.otherwise


def _mark_used(local: Local | None, name: str) -> None:
    while local is not None and name not in local.values:
        local = local.outer
    if local is not None:
        local.used.add(name)


def _conditional(frame: Frame, expr: ast.Conditional) -> Task:
    branch = yield choose_branch(frame, expr)
    return POISON if branch is None else (yield evaluate(frame, branch))


def _sequence(frame: Frame, expr: ast.Sequence) -> Task:
    items: list[Any] = []
    for item in expr.items:
        items.append((yield evaluate(frame, item)))
    if any(isinstance(item, Poison) for item in items):
        return POISON
    if _nesting(items) >= DEEPEST_LIST:
        frame.sink.report("NL105", f"lists are nested at most {DEEPEST_LIST} levels deep", frame.span(expr), notes=frame.notes)
        return POISON
    return tuple(items)


def _nesting(items: list[Any]) -> int:
    """How many levels of lists a list holds."""
    level = 0
    while items := [inner for item in items if isinstance(item, tuple) for inner in (*item, None)]:
        level += 1
    return level


def _misplaced(frame: Frame, expr: ast.Expr) -> Any:
    frame.sink.report("NL103", "slices and `...` stand only inside an index", frame.span(expr), notes=frame.notes)
    return POISON


def _report_constant(frame: Frame, expr: ast.Expr, error: ConstantError) -> Any:
    return _report_failure(frame, error, frame.span(expr))


def _report_failure(frame: Frame, error: ConstantError, span: Span) -> Any:
    help_text = "give the size a number, or decide by a constant under `let`" if error.undecided else None
    frame.sink.report("NL314" if error.undecided else "NL313", error.message, span, help=help_text, notes=frame.notes)
    return POISON


EVALUATORS: dict[type[ast.Expr], Callable[[Frame, Any], Any]] = {
    ast.Literal: _literal,
    ast.Name: _name,
    ast.Member: _member,
    ast.Call: _call,
    ast.Pipe: _pipe,
    ast.Index: _index,
    ast.Unary: _unary,
    ast.Chain: _chain,
    ast.Conditional: _conditional,
    ast.Sequence: _sequence,
    ast.Slice: _misplaced,
    ast.Ellipsis: _misplaced,
}
