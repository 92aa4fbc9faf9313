"""Specs to begin with: commented templates that check and train as they are."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "templates"
DEFAULT = "mlp"


def list_templates() -> list[str]:
    """The names of the templates."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def fill_template(template: str, name: str) -> str:
    """The template's text for a spec of that name, which is a word of letters, digits, `_` and `-`."""
    return (FOLDER / f"{template}.yaml").read_text(encoding="utf-8").replace("$name", name)
