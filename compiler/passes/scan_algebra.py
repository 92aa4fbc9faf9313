"""Sorts the steps of a recurrence by when they can be done, and rewrites sums so that as little as possible is left for the loop.

Values have a level: 0 depends on parameters alone, 1 on what is known for all time steps at once, 2 on what is carried from step
to step. A sum of multiples, `a * x + b * y + c`, whose factors and rest are of a lower level than x and y, is a linear form: forms
inside forms are multiplied out, factors of one value are added up at their own level, numbers go into the weights of products, and
products of several left operands that are added up become one `contract`.

Contract: the outputs are what the steps compute, to rounding; every step of the program uses what is made before it. With `linear`,
choices by a condition of a lower level count as products with 0 and 1 (for gradients: a chosen number must be finite).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.types import BroadcastError, DType, TensorType, broadcast
from compiler.passes.scan_steps import Operand, Step, step_type

SETUP, BEFORE, CARRIED = range(3)


@final
@dataclass(slots=True)
class Program:
    """The steps of one direction: once a call (`setup`), for all time steps (`before`, `after`), and for each (`loop`).

    `results` maps what was asked for to the values that are made, or to a number.
    """

    setup: list[Step] = field(default_factory=list)
    before: list[Step] = field(default_factory=list)
    loop: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)
    results: dict[Value, Operand] = field(default_factory=dict)
    level: dict[Value, int] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Form:
    """The sum of each value times its factor, and the rest."""

    terms: dict[Value, Operand]
    rest: Operand = 0.0


def arrange(
    steps: Iterable[Step], levels: Mapping[Value, int], loop: Iterable[Value], rest: Iterable[Value], *, linear: bool = False
) -> Program:
    """The program that makes `loop` (what is carried on, in the loop) and `rest` (after it, where it depends on it).

    `levels` are those of the given values: inputs, parameters, and results of steps that need not be made.
    """
    return _Arranger(list(steps), levels, linear).run(list(loop), list(rest))


@final
class _Arranger:
    def __init__(self, steps: list[Step], levels: Mapping[Value, int], linear: bool) -> None:
        self._linear = linear
        self._producer = {step.result: step for step in steps if step.result not in levels}
        self._level = dict(levels)
        for step in steps:
            if step.result not in levels:
                self._level[step.result] = max([_own_level(step.result), *(self._level[value] for value in step.values)])
        self._uses: Counter[Value] = Counter()
        self._made: dict[tuple[object, ...], Value] = {}
        self._same: dict[Value, Operand] = {}
        self._done: set[Value] = set(levels)
        self._forms: dict[Value, Form] = {}
        self._program = Program(level=self._level)
        self._looping = True
        self._lefts: Counter[Value] = Counter()

    def run(self, loop: list[Value], rest: list[Value]) -> Program:
        self._count(loop, rest)
        for value in loop:
            self._program.results[value] = self._demand(value)
        self._looping = False
        self._forms.clear()
        for value in rest:
            self._program.results[value] = self._demand(value)
        return self._program

    def _count(self, loop: list[Value], rest: list[Value]) -> None:
        """Uses of values by steps that are needed, and of left operands by products in the loop."""
        pending, seen = [*loop], set(loop)
        while pending:
            step = self._producer.get(pending.pop())
            if step is None:
                continue
            if step.function == "matmul" and self._level[step.result] == CARRIED:
                self._lefts.update(step.values[:1])
            fresh = set(step.values) - seen
            pending += fresh
            seen |= fresh
        pending = [*rest]
        seen.update(rest)
        while pending:
            step = self._producer.get(pending.pop())
            fresh = set(step.values) - seen if step is not None else set()
            pending += fresh
            seen |= fresh
        for value in seen:
            step = self._producer.get(value)
            if step is not None:
                self._uses.update(step.values)
        self._uses.update({*loop, *rest})

    # making steps -----------------------------------------------------------------------------------------------------

    def _demand(self, operand: Operand) -> Operand:
        """See that a value is made; what it is called there, or the number it is."""
        if not isinstance(operand, Value):
            return operand
        if operand in self._same:
            return self._same[operand]
        if operand in self._done:
            return operand
        self._done.add(operand)
        step = self._producer[operand]
        if self._is_linear(step):
            return self._emit_form(operand, self._form(operand))
        if step.function == "transpose" and (turned := self._turn(step)) is not None:
            return turned
        demand = self._demand if step.is_elementwise else self._demand_tensor
        self._emit(Step(step.function, tuple(demand(item) for item in step.operands), operand, step.node))
        return operand

    def _demand_tensor(self, operand: Operand) -> Operand:
        """`_demand`, with a tensor of its shape in place of a number that a tensor turned out to be."""
        made = self._demand(operand)
        if isinstance(made, Value) or not isinstance(operand, Value) or not operand.type.rank:
            return made
        return self._emit_made("add", (made, 0.0), BEFORE, Value(operand.type, "filled"))

    def _emit(self, step: Step) -> None:
        level = self._level[step.result]
        program = self._program
        (program.setup, program.before, program.loop if self._looping else program.after)[level].append(step)

    def _turn(self, step: Step) -> Operand | None:
        """Transpositions cancel, and one of a product that sums over the batch is the product the other way round."""
        (operand,) = step.values
        inner = self._producer.get(operand)
        if inner is not None and inner.function == "transpose":
            made = self._same[step.result] = self._demand(inner.operands[0])
            return made
        if inner is None or inner.function != "matmul" or self._uses[operand] > 1 or operand in self._done:
            return None
        left = self._producer.get(inner.values[0])
        if left is None or left.function != "transpose" or inner.values[1].type.rank != 2:
            return None
        right = self._make("transpose", (inner.operands[1],))
        self._emit(Step("matmul", (self._demand(right), self._demand_tensor(left.operands[0])), step.result))
        return step.result

    # linear forms -----------------------------------------------------------------------------------------------------

    def _is_linear(self, step: Step) -> bool:
        level = self._level[step.result]
        numbers = step.operands[1:] if step.function == "where" else step.operands
        if level == SETUP or not all(item.type.dtype.is_float for item in (step.result, *numbers) if isinstance(item, Value)):
            return False
        same = [isinstance(item, Value) and self._level[item] == level for item in step.operands]
        if not _fills(step):
            return False
        match step.function:
            case "add" | "subtract" | "negative":
                return True
            case "multiply":
                return sum(same) == 1
            case "divide":
                return same == [True, False] and not isinstance(step.operands[1], Value)
            case "where":
                return self._linear and not same[0] and 0.0 in step.operands[1:] and any(same[1:])
        return False

    def _form(self, value: Value) -> Form:
        """A linear value as a form."""
        if value in self._forms:
            return self._forms[value]
        step = self._producer[value]
        level = self._level[value]
        a, *others = step.operands
        b: Operand = others[0] if others else 0.0
        match step.function:
            case "add":
                made = self._sum(self._part(a, level), self._part(b, level), 1.0)
            case "subtract":
                made = self._sum(self._part(a, level), self._part(b, level), -1.0)
            case "negative":
                made = self._scale(self._part(a, level), -1.0)
            case "divide":
                assert isinstance(b, float)
                made = self._scale(self._part(a, level), 1.0 / b)
            case "multiply":
                upper, factor = (a, b) if isinstance(a, Value) and self._level[a] == level else (b, a)
                made = self._scale(self._part(upper, level), factor)
            case _:
                chosen = others[0] != 0.0
                mask = self._make("where", (a, float(chosen), float(not chosen)), value.type.dtype)
                made = self._scale(self._part(others[0] if chosen else others[1], level), mask)
        self._forms[value] = made
        return made

    def _part(self, operand: Operand, level: int) -> Form:
        """An operand as part of a form of that level."""
        operand = self._same.get(operand, operand) if isinstance(operand, Value) else operand
        if not isinstance(operand, Value):
            return Form({}, operand)
        if self._level[operand] < level:
            self._uses[operand] -= 1
            return Form({}, operand)
        step = self._producer.get(operand)
        done = operand in self._done
        if step is None or not self._is_linear(step) or (done and not self._looping):
            return Form({operand: 1.0})
        form = self._form(operand)
        single = len(form.terms) == 1 and form.rest == 0.0
        return form if single or (self._uses[operand] <= 1 and not done) else Form({operand: 1.0})

    def _sum(self, a: Form, b: Form, sign: float) -> Form:
        terms = dict(a.terms)
        for value, factor in b.terms.items():
            signed = self._times(factor, sign)
            terms[value] = self._plus(terms[value], signed) if value in terms else signed
        return Form({value: factor for value, factor in terms.items() if factor != 0.0}, self._plus(a.rest, self._times(b.rest, sign)))

    def _scale(self, form: Form, factor: Operand) -> Form:
        terms = {value: self._times(known, factor) for value, known in form.terms.items()} if factor != 0.0 else {}
        return Form(terms, self._times(form.rest, factor))

    def _times(self, a: Operand, b: Operand) -> Operand:
        if not isinstance(a, Value) and not isinstance(b, Value):
            return a * b
        for one, other in ((a, b), (b, a)):
            if not isinstance(one, Value) and one in (0.0, 1.0):
                return 0.0 if one == 0.0 else other
        return self._make("multiply", (a, b))

    def _plus(self, a: Operand, b: Operand) -> Operand:
        if not isinstance(a, Value) and not isinstance(b, Value):
            return a + b
        for one, other in ((a, b), (b, a)):
            if not isinstance(one, Value) and one == 0.0:
                return other
        return self._make("add", (a, b))

    def _make(self, function: str, operands: tuple[Operand, ...], dtype: DType | None = None) -> Value:
        """A new value of a lower level, one for equal steps; it is made when it is demanded."""
        key = (function, frozenset(operands) if function in ("add", "multiply") and operands[0] != operands[1] else operands)
        if key not in self._made:
            type = step_type(function, operands)
            value = self._made[key] = Value(TensorType(dtype or type.dtype, type.shape), "factor")
            step = Step(function, operands, value)
            self._producer[value] = step
            self._level[value] = max(self._level[item] for item in step.values)
            self._uses.update(step.values)
        else:
            self._uses[self._made[key]] += 1
        return self._made[key]

    def _emit_form(self, value: Value, form: Form) -> Operand:
        """Steps that add up a form: products first, then the rest, then multiples of other values."""
        level = self._level[value]
        products, others = self._contracted(form, level)
        ready: list[tuple[Operand, bool]] = [(item, True) for item in products]
        rest = self._demand(form.rest)
        if rest != 0.0 or not (ready or others):
            ready.append((rest, True))
        for item, factor in others:
            made = self._demand(item)
            if factor in (1.0, -1.0):
                ready.append((made, factor == 1.0))
                continue
            alone = value if not ready and len(others) == 1 else None
            ready.append((self._emit_made("multiply", (made, self._demand(factor)), level, alone), True))
        ready.sort(key=lambda pair: not pair[1])
        total, positive = ready[0]
        if total is value:
            return total
        if len(ready) == 1 and positive:
            self._same[value] = total
            self._done.discard(value)
            return total
        if not positive:
            ready = [(0.0, True), *ready]
            total = 0.0
        for index, (part, plus) in enumerate(ready[1:], start=2):
            function = "add" if plus else "negative" if total == 0.0 else "subtract"
            operands: tuple[Operand, ...] = (part,) if function == "negative" else (total, part)
            total = self._emit_made(function, operands, level, value if index == len(ready) else None)
        return total

    def _emit_made(self, function: str, operands: tuple[Operand, ...], level: int, result: Value | None = None) -> Value:
        made = result or Value(step_type(function, operands), "part")
        self._level[made] = level
        self._done.add(made)
        self._emit(Step(function, operands, made))
        return made

    def _contracted(self, form: Form, level: int) -> tuple[list[Value], list[tuple[Value, Operand]]]:
        """Products of the form, with numbers in their weights and added up in one step where they may; and the other terms."""
        products: list[Step] = []
        made: list[Value] = []
        others: list[tuple[Value, Operand]] = []
        for item, factor in form.terms.items():
            step = self._producer.get(item)
            if step is None or step.function != "matmul" or item in self._done or isinstance(factor, Value):
                others.append((item, factor))
                continue
            left, right = step.operands
            if self._uses[item] > 1 or not isinstance(right, Value) or self._level[right] != SETUP:
                others.append((item, factor))
                continue
            weight = self._demand(self._times(right, factor))
            result = item if factor == 1.0 else Value(item.type, item.name)
            self._level[result] = level
            products.append(Step("matmul", (self._demand_tensor(left), weight), result))
        groups: dict[object, list[Step]] = {}
        for step in products:
            groups.setdefault(tuple(value.type for value in step.values) if self._may_contract(step, level) else step, []).append(step)
        for group in groups.values():
            if len(group) > 1:
                operands = tuple(item for step in group for item in step.operands)
                joined = Value(group[0].result.type, "part")
                self._level[joined] = level
                self._emit(Step("contract", operands, joined))
                self._done.add(joined)
                made.append(joined)
            else:
                self._emit(group[0])
                self._done.add(group[0].result)
                made.append(group[0].result)
        return made, others

    def _may_contract(self, step: Step, level: int) -> bool:
        left, right = step.values
        if level != CARRIED or right.type.rank != 2:
            return False
        return not self._looping or self._lefts[left] < 2


def _own_level(value: Value) -> int:
    """The level of what has no operands: a size of the batch is known before the loop."""
    return BEFORE if any(BATCH in dim.symbols for dim in value.type.shape) else SETUP


def _fills(step: Step) -> bool:
    """Whether the operands alone broadcast to the result's shape, so that they may be regrouped."""
    try:
        return broadcast(*(value.type.shape for value in step.values)) == step.result.type.shape
    except BroadcastError:
        return False
