"""The ops by name. A family's file is loaded when one of its ops is first asked for, so that checking a spec loads what it uses.

`table.py` says which file defines which op; `python compiler/ops/write_table.py` writes it anew, and a test holds it to the files.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar, final

from compiler.ir.op import Op
from compiler.ops.table import MODULES

T = TypeVar("T", bound=type[Op])


@final
class Registry(Mapping[str, type[Op]]):
    """Op classes by name, those of the table first, in its order."""

    def __init__(self) -> None:
        self._loaded: dict[str, type[Op]] = {}

    def add(self, op: type[Op]) -> None:
        """Make an op known; ValueError where another has its name."""
        name = op.name
        known = self._loaded.get(name)
        taken = known is not None and known.__qualname__ != op.__qualname__
        if taken or (name in MODULES and op.__module__ != f"{__package__}.{MODULES[name]}"):
            raise ValueError(f"two ops are named {name}")
        self._loaded[name] = op

    def remove(self, name: str) -> None:
        """Forget an op that was added, as a test of a plug-in does."""
        del self._loaded[name]

    def load_all(self) -> None:
        """Load every file of the table."""
        for name in MODULES:
            self[name]

    def __getitem__(self, name: str) -> type[Op]:
        if name not in self._loaded and name in MODULES:
            importlib.import_module(f"{__package__}.{MODULES[name]}")
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in MODULES

    def __iter__(self) -> Iterator[str]:
        yield from MODULES
        yield from [name for name in self._loaded if name not in MODULES]

    def __len__(self) -> int:
        return len(self._loaded.keys() | MODULES.keys())


OPS: Final = Registry()


def register(op: T) -> T:
    """Class decorator: make an op known under its name; a second op of that name is refused."""
    OPS.add(op)
    return op


@final
class UnknownOp(KeyError):
    """No op of that name is registered."""


def op_named(name: str) -> type[Op]:
    """The op class registered under `name`; raises UnknownOp."""
    try:
        return OPS[name]
    except KeyError:
        raise UnknownOp(name) from None


def make_op(name: str, **attributes: Any) -> Op:
    """An op by name, with attributes of the types that its class declares; raises UnknownOp."""
    return op_named(name)(**attributes)


def near_names(name: str, known: list[str]) -> list[str]:
    """The known names that `name` may have been meant to be, best first."""
    return difflib.get_close_matches(name, known, n=2, cutoff=0.7)
