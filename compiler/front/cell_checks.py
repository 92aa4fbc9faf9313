"""Checks the names of a cell and puts its equations in order, before any size is known.

Every cell of a file is checked, used or not. Non-goals: types, which are known where `scan` applies the cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from compiler.diagnostics import Fix, Label, Severity
from compiler.front import ast
from compiler.front.spec import CellDefinition, Equation
from compiler.front.tree import Scalar
from compiler.source import Span

if TYPE_CHECKING:
    from compiler.front.elaborate import Elaboration

ARGUMENTS = ("lengths", "reverse")
"""What `scan` takes besides inputs and states: no input or state can be called so."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A cell whose names are right: equations in an order in which each uses what stands before it."""

    equations: tuple[tuple[Equation, ast.Expr], ...]
    output: ast.Expr


@final
@dataclass(frozen=True, slots=True)
class _Use:
    """A name in an expression, and where."""

    name: str
    span: Span


def check_cells(elaboration: Elaboration, cells: dict[str, CellDefinition]) -> None:
    for cell in cells.values():
        ordered_step(elaboration, cell)


def ordered_step(elaboration: Elaboration, cell: CellDefinition) -> Step | None:
    """The step of a cell, checked once; None when something was reported."""
    if id(cell) not in elaboration.steps:
        elaboration.steps[id(cell)] = None if cell.body.broken else _Check(elaboration, cell).run()
    return elaboration.steps[id(cell)]


@final
class _Check:
    def __init__(self, elaboration: Elaboration, cell: CellDefinition) -> None:
        self._elaboration = elaboration
        self._sink = elaboration.sink
        self._cell = cell
        self._name = cell.body.name
        self._good = True
        self._equations = {self._meant(item): item for item in cell.equations}
        self._parsed: dict[str, ast.Expr] = {}
        self._uses: dict[str, list[_Use]] = {}

    def _meant(self, equation: Equation) -> str:
        """What an equation defines; one for a state that lacks its prime is reported, and taken as if it had it."""
        return f"{equation.name}'" if equation.name in self._cell.states else equation.written

    def run(self) -> Step | None:
        self._check_definitions()
        cell = self._cell
        output = cell.output
        assert output is not None
        for equation in cell.equations:
            self._parse(self._meant(equation), equation.expression)
        self._parse("", output)
        if len(self._parsed) <= len(cell.equations):
            return None
        self._check_primes()
        order = self._sort()
        if self._good:
            self._check_updates()
            self._check_output(output)
            self._check_used()
        if not self._good:
            return None
        return Step(tuple((self._equations[name], self._parsed[name]) for name in order), self._parsed[""])

    def _report(
        self, code: str, message: str, span: Span, help: str | None = None, fix: Fix | None = None, also: tuple[Label, ...] = ()
    ) -> None:
        self._good = False
        self._sink.report(code, message, span, help=help, fix=fix, also=also)

    def _parse(self, name: str, scalar: Scalar) -> None:
        expr = self._elaboration.parse(scalar)
        if expr is None:
            self._good = False
            return
        self._parsed[name] = expr
        self._uses[name] = [_Use(item.name, scalar.locate(item.start, item.end)) for item in ast.names_in(expr)]

    def _check_definitions(self) -> None:
        """Each name is defined once, and none of a state without its prime."""
        cell, key = self._cell, self._cell.body.key
        places = [(item.name, key.span) for item in cell.header.parameters]
        places += [(name, pair.key.span) for table in (cell.body.inputs, cell.body.lets, cell.states) for name, pair in table.items()]
        places += [(name, weight.place) for name, weight in cell.weights.items()]
        found: dict[str, Span] = {}
        for name, place in sorted(places, key=lambda item: item[1].start):
            if name in found:
                also = (Label(found[name], "defined here"),)
                self._report("NL160", f"`{name}` is defined twice in the cell `{self._name}`", place, "rename one of them", also=also)
            found.setdefault(name, place)
            if name in ARGUMENTS and name not in cell.weights:
                message = f"`{name}` is an argument of `scan`: nothing in a cell can have that name"
                self._report("NL135", message, place, f"call it `{name}_`")
        for item in cell.equations:
            if item.primed and item.name not in cell.states:
                message = f"`{item.written}` is the next value of a state, but `{self._name}` has no state `{item.name}`"
                self._elaboration.report_near("NL162", message, item.key.span, item.written, [f"{name}'" for name in cell.states])
                self._good = False
            elif not item.primed and item.name in cell.states:
                message = f"`{item.name}` is a state: a step gives its next value, `{item.name}'`"
                self._report("NL161", message, item.key.span, f"write `{item.name}': …`", Fix(item.key.span, f"{item.name}'"))
            elif not item.primed and item.name in found:
                also = (Label(found[item.name], "defined here"),)
                message = f"`{item.name}` is defined twice in the cell `{self._name}`"
                self._report("NL160", message, item.key.span, "rename one of them", also=also)

    def _check_primes(self) -> None:
        for use in (use for uses in self._uses.values() for use in uses if use.name.endswith("'")):
            name = use.name[:-1]
            if use.name in self._equations:
                continue
            if name in self._cell.states:
                message = f"`{use.name}` is used, but no equation of `{self._name}` defines it"
                self._report("NL164", message, use.span, f"add an equation `{use.name}: …`, or read the state of the step before: `{name}`")
            else:
                what = f"`{name}` is no state of `{self._name}`: only states have a next value"
                self._report("NL162", what, use.span, f"write `{name}`", Fix(use.span, name))

    def _sort(self) -> list[str]:
        """The equations' names, what each needs before it; a circle is reported."""
        order: list[str] = []
        path: list[str] = []
        states: dict[str, Iterator[str]] = {}
        for start in self._equations:
            if start not in states:
                path.append(start)
                states[start] = iter([use.name for use in self._uses.get(start, [])])
            while path:
                name = next((item for item in states[path[-1]] if item in self._equations), None)
                if name is None:
                    order.append(path.pop())
                elif name in path:
                    circle = " -> ".join([*path[path.index(name) :], name])
                    equation = self._equations[name]
                    self._report(
                        "NL165", f"`{name}` needs itself within one step: {circle}", equation.key.span, self._circle_help(name, path)
                    )
                    return order
                elif name not in states:
                    path.append(name)
                    states[name] = iter([use.name for use in self._uses.get(name, [])])
        return order

    def _circle_help(self, name: str, path: list[str]) -> str:
        primed = next((item for item in (name, *path[path.index(name) :]) if item.endswith("'")), None)
        return (
            "break the circle: one of them must do without the others"
            if primed is None
            else f"the value of the step before has no prime: `{primed[:-1]}`"
        )

    def _check_updates(self) -> None:
        for name, pair in self._cell.states.items():
            if f"{name}'" not in self._equations:
                message = f"the state `{name}` of `{self._name}` is never updated"
                self._report("NL163", message, pair.key.span, f"add an equation `{name}': …`, or make it an input")

    def _check_output(self, output: Scalar) -> None:
        """The output depends on an input or a state."""
        pending, seen = [""], {""}
        while pending:
            for use in self._uses.get(pending.pop(), []):
                if use.name in self._cell.body.inputs or use.name in self._cell.states:
                    return
                if use.name in self._equations and use.name not in seen:
                    seen.add(use.name)
                    pending.append(use.name)
        message = f"the output of `{self._name}` depends on no input and no state: every step would give the same"
        self._report("NL169", message, output.span, f"name a next state, such as `{next(iter(self._cell.states))}'`")

    def _check_used(self) -> None:
        used = {use.name for uses in self._uses.values() for use in uses}
        for name, weight in self._cell.weights.items():
            if name not in used:
                message = f"nothing uses the parameter `{name}` of `{self._name}`"
                self._report("NL166", message, weight.place, "remove it, or use it in an equation")
        for name, pair in self._cell.body.inputs.items():
            if name not in used:
                message = f"nothing uses the input `{name}` of `{self._name}`"
                self._report("NL167", message, pair.key.span, "remove it, or use it in an equation")
        for item in self._cell.equations:
            if not item.primed and item.name not in used:
                message = f"nothing uses `{item.name}` of `{self._name}`"
                self._sink.report(
                    "NL143", message, item.key.span, help="remove it, or use it in an equation or the output", severity=Severity.WARNING
                )
