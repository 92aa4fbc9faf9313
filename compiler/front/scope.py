"""What a name means where it stands.

Values (inputs, entries, constants) and functions (blocks, networks, ops) are looked up from the inside out; functions last,
so that an entry may be called `relu` and still use the op.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any, final

from compiler.front.ast import Expr
from compiler.front.builder import GraphBuilder, InitRule
from compiler.front.sink import Sink
from compiler.front.spec import SpecFile
from compiler.front.tree import Scalar
from compiler.ir.op import Op
from compiler.ops import OPS
from compiler.source import Span

if TYPE_CHECKING:
    from compiler.front.elaborate import Elaboration

CONSTRUCTS = ("repeat", "scan", "bidirectional", "last", "grad", "replay", "generate")
"""Functions of the language that are no ops."""

Task = Generator[Any, Any, Any]
"""A computation that yields the computations it waits for; `run` drives it without recursion."""


def run(task: Task) -> Any:
    """Drive a task and everything it waits for; nesting costs memory, not Python's stack.

    What is yielded and no task is its own result, so a function that waits for nothing may return its value plainly.
    """
    stack = [task]
    value: Any = None
    while stack:
        try:
            value = stack[-1].send(value)
        except StopIteration as stop:
            stack.pop()
            value = stop.value
        else:
            if isinstance(value, GeneratorType):
                stack.append(value)
                value = None
    return value


@final
@dataclass(slots=True, eq=False)
class Local:
    """Names of one network, block, step or assert; `pending` are entries that come later.

    `incomplete` says that more names belong here, which could not be read: an unknown one is not reported.
    """

    values: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, Span] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    outer: Local | None = None
    incomplete: bool = False


@final
@dataclass(slots=True, eq=False)
class FileScope:
    """The names of one file: its constants, blocks and networks, and those of the files it uses (`incomplete`: not all could be read)."""

    spec: SpecFile
    folder: Path | None
    constants: dict[str, Any] = field(default_factory=dict)
    evaluating: list[str] = field(default_factory=list)
    networks: dict[str, Any] = field(default_factory=dict)
    imported: dict[str, FileScope] = field(default_factory=dict)
    incomplete: bool = False
    internal: bool = False
    """Whether a text of the compiler's own is read, which may name ops that specs cannot."""

    def op(self, name: str) -> type[Op] | None:
        """The op of that name, if there is one that may be named here."""
        found = OPS.get(name)
        return found if found is not None and (self.internal or not found.internal) else None

    def knows(self, name: str) -> bool:
        """Whether a block, network or op has that name."""
        own = (self.spec.networks, self.spec.blocks, self.spec.cells, self.imported)
        return any(name in table for table in own) or self.op(name) is not None

    def known_functions(self) -> list[str]:
        return [
            *self.spec.networks,
            *self.spec.blocks,
            *self.spec.cells,
            *self.imported,
            *CONSTRUCTS,
            *(name for name, op in OPS.items() if self.internal or not op.internal),
        ]


@final
@dataclass(slots=True, eq=False)
class Frame:
    """Where an expression is evaluated: its text, its names, the graph it builds, and how it came there."""

    elaboration: Elaboration
    file: FileScope
    local: Local
    scalar: Scalar
    builder: GraphBuilder | None = None
    notes: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    inits: tuple[InitRule, ...] = ()

    @property
    def sink(self) -> Sink:
        return self.elaboration.sink

    def at(self, scalar: Scalar) -> Frame:
        """The same place with another expression."""
        return Frame(self.elaboration, self.file, self.local, scalar, self.builder, self.notes, self.blocks, self.inits)

    def span(self, expr: Expr) -> Span:
        return self.scalar.locate(expr.start, expr.end)

    def text(self, expr: Expr) -> str:
        """What the spec wrote, cut to a length that fits a message."""
        text = " ".join(self.scalar.value[expr.start : expr.end].split())
        return text if len(text) <= 40 else f"{text[:37]}…"

    @property
    def incomplete(self) -> bool:
        """Whether names that belong here could not be read."""
        local: Local | None = self.local
        while local is not None and not local.incomplete:
            local = local.outer
        return local is not None or self.file.incomplete

    def known_names(self) -> list[str]:
        names: list[str] = []
        local: Local | None = self.local
        while local is not None:
            names += local.values
            local = local.outer
        return [*names, *self.file.spec.lets, *self.file.known_functions(), "true", "false"]
