"""What an expression can mean: a constant, a tensor, a function, several results, or nothing (poison).

Constants are Python's own int, float, bool, str and tuple, sizes are `Dim`, bare words are `Word`. Tensors are `Value`s of
the graph being built. A call whose first operand is missing is a function that waits for it (`Partial`), which is what
stands between the arrows of a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from compiler.front.ast import Expr
from compiler.ir.dims import Dim
from compiler.ir.graph import Graph, Value
from compiler.ir.initializers import Initializer
from compiler.ir.op import Op
from compiler.ir.signature import Word, format_constant
from compiler.ir.training import Schedule
from compiler.source import Span

if TYPE_CHECKING:
    from compiler.front.scope import FileScope
    from compiler.front.spec import BlockDefinition, Body, CellDefinition


@final
class Poison:
    """The value of what has been reported already: everything made of it is silent."""


POISON: Final = Poison()


@final
@dataclass(frozen=True, slots=True)
class Unresolved:
    """A name that means nothing where it stands; an enumeration may still take it as a word."""

    name: str
    span: Span


@final
@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """An evaluated argument: its value, where it stands, what the spec wrote, and its syntax."""

    value: Any
    span: Span
    text: str
    expr: Expr | None = None


@final
@dataclass(slots=True, eq=False)
class Applied:
    """The results of a called graph: the unnamed output, and any output or entry by name.

    `read` returns the value of that name, making it a result of the call; None when there is none.
    """

    graph: Graph
    read: Callable[[str], Value | None]
    text: str = ""
    lengths: Value | None = None
    """Of a scan's result: how many steps of each row are valid."""


class Function:
    """Abstract: something that can be applied to operands."""

    __slots__ = ()


@final
@dataclass(frozen=True, slots=True)
class OpFunction(Function):
    op: type[Op]


@final
@dataclass(frozen=True, slots=True, eq=False)
class BlockFunction(Function):
    """A template; every application makes new weights."""

    definition: BlockDefinition
    scope: FileScope


@final
@dataclass(frozen=True, slots=True, eq=False)
class CellFunction(Function):
    """A recurrence; it is applied by `scan`, every time with new weights."""

    definition: CellDefinition
    scope: FileScope


@final
@dataclass(frozen=True, slots=True, eq=False)
class NetworkFunction(Function):
    """A network; every application shares its weights. `body` is where it is declared."""

    graph: Graph
    body: Body


@final
@dataclass(frozen=True, slots=True, eq=False)
class BuiltinFunction(Function):
    """A construct of the language: `repeat` in networks, `params` and the like in asserts."""

    name: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Partial(Function):
    """A call that waits for its first operand."""

    function: Function
    arguments: tuple[Argument, ...]
    keywords: dict[str, Argument]
    span: Span
    text: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Composed(Function):
    """A pipeline without a head: applies its stages one after another."""

    stages: tuple[tuple[Function, Span, str], ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A data source: fields by name; a single tensor has the one field ""."""

    name: str
    read: Callable[[str], Value | None]
    fields: tuple[str, ...] = field(default=())


@final
@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """Text that a sample writes: the numbers that tell the next character, from `argument`, and how it is drawn."""

    logits: Value
    prompt: str
    length: int
    temperature: float
    argument: Argument


def is_tensor(value: object) -> bool:
    """Whether a value stands where operands do: a tensor, what gives one, or several of them in a list."""
    if isinstance(value, tuple):
        return any(isinstance(item, Value | Applied) for item in value)
    return isinstance(value, Value | Applied | Poison) or (isinstance(value, Source) and value.fields == ("",))


def is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(is_constant(item) for item in value)
    return isinstance(value, bool | int | float | str | Dim | Word)


def describe(value: object, text: str = "") -> str:
    """What a message calls a value that the spec wrote as `text`."""
    if isinstance(value, Value):
        return f"a tensor {value.type}"
    if isinstance(value, Applied):
        return f"the result of `{value.graph.name}`"
    if isinstance(value, Source):
        return f"the data source `{value.name}`"
    if isinstance(value, Generated):
        return "a text to be written"
    if isinstance(value, Function):
        return _describe_function(value)
    if isinstance(value, tuple):
        return "a list of tensors" if is_tensor(value) else "a list"
    if isinstance(value, str):
        return f'the text "{value}"' if text != f'"{value}"' else "a text"
    if isinstance(value, Dim):
        return f"the size `{value}`"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, int | float):
        return f"the number `{value}`" if text != str(value) else "a number"
    if isinstance(value, Schedule | Initializer):
        return f"a {value.kind}"
    return f"the word `{value.name}`" if isinstance(value, Unresolved) else f"`{format_constant(value)}`"


def _describe_function(value: Function) -> str:
    if isinstance(value, OpFunction):
        return "an op"
    if isinstance(value, BlockFunction):
        return "a block"
    if isinstance(value, CellFunction) or (isinstance(value, Partial) and isinstance(value.function, CellFunction)):
        return "a cell"
    if isinstance(value, NetworkFunction):
        return "a network"
    if isinstance(value, Partial):
        return "a call that waits for a tensor"
    return "a pipeline that waits for a tensor" if isinstance(value, Composed) else "a function of the language"
