"""Arguments and options that commands share."""

from __future__ import annotations

import functools
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


def read_words(ctx: click.Context, option: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """The words after a spec, all of which are assignments."""
    others, found = split_assignments(words)
    if others:
        raise click.BadParameter(f"{others[0]!r} after the spec is not of the form name=value, such as hidden=256", ctx, option)
    return found


def split_assignments(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words that are no assignments, and those that are: `name=text`, the last of a name wins."""
    pairs = [(word, word.partition("=")) for word in words]
    found = {name.strip(): text.strip() for _, (name, sign, text) in pairs if sign and NAME.fullmatch(name.strip())}
    return tuple(word for word, (name, *_) in pairs if "=" not in word or name.strip() not in found), found


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
    """SPEC, with `--set NAME=VALUE` and further words `NAME=VALUE` as one mapping `overrides`."""

    @functools.wraps(function)
    def call(*args: Any, overrides: dict[str, str], words: dict[str, str], **options: Any) -> Any:
        return function(*args, overrides=overrides | words, **options)

    words = click.argument("words", nargs=-1, metavar="[NAME=VALUE]...", callback=read_words)
    return click.argument("spec")(words(set_option(call)))  # type: ignore[return-value]


def set_option(function: F) -> F:
    return click.option(
        "--set",
        "overrides",
        metavar="NAME=VALUE",
        multiple=True,
        callback=read_bindings,
        help="Replace a constant under `let`; more may follow, or be given without --set.",
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
