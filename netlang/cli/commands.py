"""The commands by name. Each loads its modules when it is called, so that `check` does not wait for what `train` needs."""

from __future__ import annotations

import difflib
import gc
from typing import Final, final

import click

CHECKING: Final = ("check",)
INSPECTING: Final = ("show", "explain", "ops", "specs", "schema")
MAKING: Final = ("new", "build")
RUNNING: Final = ("train", "eval", "sample", "plot")
COMPARING: Final = ("compare", "bench")
WEIGHING: Final = ("weights",)


@final
class Commands(click.Group):
    """The group of all commands, in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [
            "new", "check", "show", "train", "eval", "sample", "plot", "compare", "bench", "build", "weights", "ops", "explain", "specs",
            "schema",
        ]  # fmt: skip

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in CHECKING:
            from netlang.cli.checking import check

            return check
        gc.enable()
        if cmd_name in INSPECTING:
            from netlang.cli import inspect

            return {"show": inspect.show, "explain": inspect.explain, "ops": inspect.ops, "specs": inspect.specs, "schema": inspect.schema}[
                cmd_name
            ]
        if cmd_name in MAKING:
            from netlang.cli import make

            return {"new": make.new, "build": make.build}[cmd_name]
        if cmd_name in RUNNING:
            from netlang.cli import runs

            return {"train": runs.train, "eval": runs.evaluate, "sample": runs.sample, "plot": runs.plot}[cmd_name]
        if cmd_name in COMPARING:
            from netlang.cli.bench import bench
            from netlang.cli.compare import compare

            return {"compare": compare, "bench": bench}[cmd_name]
        if cmd_name in WEIGHING:
            from netlang.cli.weights import weights

            return weights
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the near name where there is no such command."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"Did you mean {near[0]}?" if near else "`netlang --help` lists them."
            raise click.UsageError(f"There is no command {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)
