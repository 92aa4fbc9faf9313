"""Copies functions marked `emitted` into printed files, with those they call, callees first."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any

from compiler.ir.op import EMITTED
from compiler.ops import OPS


def copy_functions(used: Iterable[Callable[..., Any]]) -> str:
    """The source of the functions and of all they need, two blank lines between them."""
    order: dict[str, Callable[..., Any]] = {}
    for function in used:
        _place(function, order)
    return "\n\n\n".join(_source(function) for function in order.values())


LIBRARIES = frozenset({"np", "torch", "F"})


def emitted_names(*libraries: str) -> set[str]:
    """Names of the functions that use one of the libraries (`np`, `torch`) or none: what variables beside them are not called."""
    OPS.load_all()
    found = set()
    for name, function in EMITTED.items():
        order: dict[str, Callable[..., Any]] = {}
        _place(function, order)
        used = LIBRARIES.intersection({item for member in order.values() for item in _names(member)})
        if not used or not used.isdisjoint(libraries):
            found.add(name)
    return found


def _place(function: Callable[..., Any], order: dict[str, Callable[..., Any]]) -> None:
    if function.__name__ in order:
        return
    for name in _names(function):
        if name != function.__name__ and name in EMITTED:
            _place(EMITTED[name], order)
    order[function.__name__] = function


def _names(function: Callable[..., Any]) -> Iterator[str]:
    """Every global name that the code of a function, or of a class's methods, mentions."""
    if inspect.isclass(function):
        members = [item.__func__ if isinstance(item, staticmethod | classmethod) else item for item in vars(function).values()]
        pending = [item.__code__ for item in members if inspect.isfunction(item)]
    else:
        pending = [function.__code__]
    while pending:
        code: CodeType = pending.pop()
        yield from code.co_names
        pending += [item for item in code.co_consts if isinstance(item, CodeType)]


def _source(function: Callable[..., Any]) -> str:
    text = textwrap.dedent(inspect.getsource(function)).strip()
    return "\n".join(line for line in text.splitlines() if line != "@emitted")
