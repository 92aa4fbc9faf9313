"""Specs by name: what a command or a call of the API means by `lenet5`, `cnn/vgg19` or `nets/mine.yaml`."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

from compiler.diagnostics import Diagnostic, SpecError
from compiler.diagnostics.quote import show
from compiler.front.bundled import list_bundled
from compiler.front.files import check_characters, decode, read_source
from compiler.front.limits import FILE_BYTES
from compiler.front.tree import Mapping, Scalar
from compiler.front.yaml import read_tree
from compiler.source import Source

STANDARD_INPUT = "-"
SENTENCE_END = re.compile(r"(?<!\bal)\. (?=[A-Z])")


def find_spec(spec: str | Path | Source) -> Path | Source:
    """The file that is meant: a file wins over the name of a bundled spec, `-` is standard input; raises SpecError NL701."""
    if isinstance(spec, Source):
        return spec
    if spec == STANDARD_INPUT:
        return read_standard_input()
    path = Path(spec)
    bundled = list_bundled()
    name = str(spec).removesuffix(".yaml")
    if _exists(path) and not (name in bundled and path.is_dir()):
        return path
    if name in bundled:
        return _relative(bundled[name])
    raise SpecError((Diagnostic("NL701", _describe_missing(str(spec)), None, help=_suggest(str(spec), list(bundled))),))


def _exists(path: Path) -> bool:
    """Whether there is something at a path; no for what cannot be a path."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def list_specs() -> dict[str, str]:
    """The bundled specs by their full names, with the first sentence of each one's `doc`."""
    files = {path: name for name, path in list_bundled().items() if "/" in name}
    return {name: _first_sentence(path) for path, name in sorted(files.items())}


def read_standard_input() -> Source:
    """The text at standard input, no longer than a spec may be; raises SpecError."""
    data = sys.stdin.buffer.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise SpecError((Diagnostic("NL001", f"standard input is too large: a spec has at most {FILE_BYTES} bytes", None),))
    source = Source("<stdin>", decode("<stdin>", data))
    check_characters(source)
    return source


def _relative(path: Path) -> Path:
    """The path as messages show it: relative where it lies below the working directory."""
    try:
        return path.relative_to(Path.cwd())
    except (OSError, ValueError):
        return path


def _describe_missing(spec: str) -> str:
    kind = "file" if spec.endswith((".yaml", ".yml")) or spec.startswith((".", "/")) else "file and no bundled spec"
    return f"there is no {kind} {show(spec)}"


def _suggest(spec: str, bundled: list[str]) -> str:
    """A file of nearly that name beside the path, else a bundled name, else where to look."""
    path = Path(spec)
    try:
        beside = {item.name: item for item in path.parent.iterdir() if item.suffix in (".yaml", ".yml")}
    except (OSError, ValueError):
        beside = {}
    if near := difflib.get_close_matches(path.name, list(beside), n=1, cutoff=0.7):
        return f"did you mean {show(str(beside[near[0]]))}?"
    if near := difflib.get_close_matches(spec.removesuffix(".yaml"), bundled, n=1, cutoff=0.6):
        return f"did you mean `{near[0]}`?"
    return "`netlang specs` lists the specs that come with netlang; `netlang new` writes one to begin with"


def _first_sentence(path: Path) -> str:
    root = read_tree(read_source(path))
    doc = root.get("doc") if isinstance(root, Mapping) else None
    text = " ".join(doc.value.split()) if isinstance(doc, Scalar) else ""
    return SENTENCE_END.split(text, maxsplit=1)[0].removesuffix(".")
