"""Graphs of a training program as functions and statements of a training file."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from compiler.backends.names import Names, network_parameter
from compiler.backends.pieces import Landmarks, Line, Shared
from compiler.backends.printer import BodyPrinter, inputs_note, size_lines
from compiler.backends.sizes import Sizes
from compiler.backends.torch_functions import Scope, TorchFile, list_units
from compiler.backends.torch_modules import Modules
from compiler.backends.wrapping import wrap
from compiler.ir.graph import Graph, Value, called_networks
from compiler.passes.gradients import mark_differentiable

BATCH: Final = "BATCH"
ROWS: Final = "N"
"""What the number of examples is called where no tensor tells it: in training, and as a parameter of functions."""
INDENT: Final = "    "

MOST_SPELLED: Final = 4
"""How many results a return type spells out one by one."""


@final
@dataclass(frozen=True, slots=True)
class Function:
    """A printed function: its text, what it is called with, and its body where that is one expression.

    `inputs` are the parameters by what the graph calls its inputs; `rows` says that the number of examples follows them.
    """

    name: str
    text: str
    networks: tuple[str, ...]
    inputs: Mapping[str, str]
    rows: bool
    expression: str = ""


@final
@dataclass(slots=True, eq=False)
class TrainText:
    """A training file in the making: the names it has given away, the variables of networks, which of
    them some step updates, the functions that it calls."""

    file: TorchFile
    networks: Mapping[str, str]
    trained: frozenset[str]
    called: dict[str, Function] = field(default_factory=dict)

    def names(self, *taken: str) -> Names:
        """The names of one function."""
        return Names({*self.file.taken, *self.networks.values(), *taken})

    def variables(self, names: Iterable[str]) -> list[str]:
        """The variables of networks."""
        return [self.networks[name] for name in names]


def name_entries(graph: Graph) -> Graph:
    """The graph with entries for the values that the spec names by `draw` and `let`, so that variables are called after them."""
    named = dict(graph.entries)
    known = set(named.values())
    for node in graph.nodes:
        if node.entry and len(node.results) == 1 and node.entry not in graph.entries and node.results[0] not in known:
            named[node.entry] = node.results[0]
    return dataclasses.replace(graph, entries=named)


@final
class Body:
    """Prints graphs one after another as the statements of one function; sizes are told once, at its head."""

    def __init__(self, text: TrainText, inputs: Mapping[Value, str], names: Names, rows: str) -> None:
        self._text = text
        self._inputs = dict(inputs)
        self._names = names
        self._sizes = Sizes(list(self._inputs.items()), names, local=False, given={"N": rows})
        self._rows = rows

    def print(self, graph: Graph, depth: int, values: Mapping[Value, str] | None = None) -> tuple[list[Line], dict[str, str]]:
        """The statements of a graph, and the code of its outputs, which for several outputs are variables."""
        marked = mark_differentiable(name_entries(graph))
        scope = Scope(self._text.file, Modules(), self._sizes, dict(self._text.networks))
        inputs = self._inputs | dict(values or {})
        single = list(marked.outputs) == [""]
        units = list(list_units(marked, Modules(), scope))
        printer = BodyPrinter(marked, units, self._names, inputs, self._sizes, depth, single=single)
        printer.print()
        codes: dict[str, str] = {}
        lines = printer.finish_body(lambda found: codes.update(found) or "")
        if single:
            codes[""] = "".join(str(piece) for piece in lines[-1].code).removeprefix("return ")
        return lines[:-1], codes

    def head(self, depth: int) -> list[Line]:
        """The sizes that the statements printed so far use."""
        return [Line(depth, (line,)) for line in size_lines(self._inputs, self._sizes)]

    def note(self) -> tuple[str, ...]:
        """The types of the inputs, for a comment."""
        return tuple(piece if isinstance(piece, str) else piece.text for piece in inputs_note(self._inputs, self._sizes))

    @property
    def is_told(self) -> bool:
        """Whether some input tells the number of examples."""
        return any("N" in dim.symbols for value in self._inputs for dim in value.type.shape)


def needs_rows(graph: Graph) -> bool:
    """Whether a graph makes tensors for N examples and no input tells how many."""
    told = any("N" in dim.symbols for value in graph.inputs for dim in value.type.shape)
    return not told and any("N" in dim.symbols for node in graph.nodes for type in node.result_types for dim in type.shape)


def lines_text(lines: Sequence[Line]) -> list[str]:
    """Printed lines as text."""
    return Shared([lines], [Landmarks()]).lines()


def print_graph(text: TrainText, graph: Graph, name: str, doc: str, rows: str = BATCH, decorator: str = "") -> Function:
    """The function of a graph; several outputs are a tuple. `rows` tells how many examples to draw: a constant, or a parameter."""
    whole = list(graph.outputs) == [""] or len(graph.outputs) > 1
    graph = graph if whole else dataclasses.replace(graph, outputs={"": next(iter(graph.outputs.values()))})
    names = text.names(*([rows] if needs_rows(graph) else []))
    inputs = {value: names.claim(value.name) for value in graph.inputs}
    given = rows != BATCH and needs_rows(graph)
    body = Body(text, inputs, names, rows)
    lines, codes = body.print(graph, 1)
    head = body.head(1)
    called = tuple(called_networks(graph))
    listed = [*(f"{item}: nn.Module" for item in text.variables(called)), *(f"{item}: torch.Tensor" for item in inputs.values())]
    listed += [f"{rows}: int"] * given
    several = "torch.Tensor, ..." if len(codes) > MOST_SPELLED else ", ".join(["torch.Tensor"] * len(codes))
    kind = "torch.Tensor" if len(codes) == 1 else f"tuple[{several}]"
    claimed = text.file.claim(name)
    printed = [*([decorator] if decorator else [])]
    printed += lines_text([Line(0, (f"def {claimed}({', '.join(listed)}) -> {kind}:",), body.note())])
    printed += [f'{INDENT}"""{doc}"""'] if doc else []
    printed += lines_text([*head, *lines, Line(1, (f"return {', '.join(codes.values())}",))])
    expression = codes.get("", "") if not lines and not head and not given else ""
    by_input = {value.name: name for value, name in inputs.items()}
    return Function(claimed, "\n".join(printed), called, by_input, given, expression)


def call(text: TrainText, function: Function, variables: Mapping[str, str], rows: str) -> str:
    """The call of a printed function with variables by input; its body in place of the call where that is one expression of them."""
    if function.expression and all(variables[name] == parameter for name, parameter in function.inputs.items()):
        return function.expression
    text.called[function.name] = function
    given = [*text.variables(function.networks), *(variables[name] for name in function.inputs), *([rows] if function.rows else [])]
    return f"{function.name}({', '.join(given)})"


def wrap_lines(lines: Iterable[str]) -> list[str]:
    """Indented lines, broken where they are too long."""
    made: list[str] = []
    for line in lines:
        code, _, comment = line.partition("  # ")
        bare = code.lstrip()
        made += wrap(bare, (len(code) - len(bare)) // len(INDENT), f"# {comment}" if comment else "") if bare else [""]
    return made


def module_variables(names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """What networks are called in the file, which uses the names `taken` itself."""
    found = {name: network_parameter(name) for name in names}
    return {name: f"{variable}_" if variable.rstrip("_") in taken else variable for name, variable in found.items()}
