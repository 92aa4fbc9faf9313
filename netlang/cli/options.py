"""Arguments and options that commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from compiler.ir.signature import LARGEST_INTEGER

F = TypeVar("F", bound=Callable[..., Any])
NAME = re.compile(r"[^\W\d]\w*'*")


def read_bindings(_ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`name=text` each; the last of a name wins."""
    found = {}
    for item in texts:
        name, sign, text = (part.strip() for part in item.partition("="))
        if not sign or not NAME.fullmatch(name):
            raise click.BadParameter(f"{item!r} is not of the form name=value, such as hidden=256")
        found[name] = text
    return found


def read_sizes(_ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """`N=64` or `N=64,H=224` each."""
    found = {}
    for item in ",".join(texts).split(",") if texts else ():
        name, _, text = (part.strip() for part in item.partition("="))
        if not NAME.fullmatch(name) or not text.isdecimal() or not 0 < int(text[:11]) <= LARGEST_INTEGER:
            raise click.BadParameter(f"{item!r} is not a size such as N=64")
        found[name] = int(text)
    return found


def spec_argument(function: F) -> F:
    return click.argument("spec")(function)


def set_option(function: F) -> F:
    return click.option(
        "--set",
        "overrides",
        metavar="NAME=VALUE",
        multiple=True,
        callback=read_bindings,
        help="Replace a constant under `let`; may be repeated.",
    )(function)


def size_option(function: F) -> F:
    return click.option(
        "--size",
        "sizes",
        metavar="NAME=NUMBER",
        multiple=True,
        callback=read_sizes,
        help="Give a symbolic size a number: N=64,H=224.",
    )(function)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for tools.")(function)


def unknown_name(kind: str, name: str, near: list[str], otherwise: str) -> click.UsageError:
    """The error for a name on the command line that does not exist."""
    hint = f"Did you mean {' or '.join(near)}?" if near else otherwise
    return click.UsageError(f"There is no {kind} {name!r}. {hint}")
