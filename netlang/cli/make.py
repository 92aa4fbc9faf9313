"""Commands that write files: new, build."""

from __future__ import annotations

import re
from pathlib import Path

import click

from netlang.cli.streams import tell, write
from netlang.output import write_files
from netlang.starters import DEFAULT, fill_template, list_templates

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@click.command()
@click.argument("name", required=False)
@click.option("--template", type=click.Choice(list_templates()), default=DEFAULT, show_default=True, help="What to begin with.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def new(name: str | None, template: str, force: bool) -> None:
    """Write a small commented spec to begin with.

    NAME is the name of the spec; the file is NAME.yaml, in a folder if NAME has one.

    \b
    netlang new digits --template cnn
    """
    place = Path(name or template)
    stem = place.name.removesuffix(".yaml").removesuffix(".yml")
    if not NAME.fullmatch(stem):
        raise click.UsageError(f"{stem!r} is no name for a spec: letters, digits, _ and -, a letter first.")
    (path,) = write_files(place.parent, {f"{stem}.yaml": [fill_template(template, stem).encode()]}, force=force)
    write(f"{path}\n")
    tell(f"next: netlang show {path}, netlang train {path}")
