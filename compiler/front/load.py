"""Opens a spec and the files it uses: every file is read, checked against the schema and turned into records once.

A used file is bundled (`std/resnet`, `vgg19`) or lies in the spec's folder (`./blocks`, `parts/blocks.yaml`); no path leaves
that folder, and links are not followed out of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from compiler.diagnostics import Label, SpecError
from compiler.front.bundled import FOLDER, list_bundled
from compiler.front.files import read_source
from compiler.front.schema import validate
from compiler.front.scope import FileScope
from compiler.front.sink import Sink
from compiler.front.spec import read_spec
from compiler.front.suggest import suggest
from compiler.front.tree import Scalar
from compiler.front.yaml import read_tree
from compiler.source import Source

MOST_FILES = 256
MOST_DEPTH = 16


@final
class Loader:
    """Loads files for one run; a file that two others use is read once."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._loaded: dict[Path, FileScope | None] = {}

    def load(self, source: Source, folder: Path | None, chain: tuple[Path, ...] = ()) -> FileScope | None:
        """The scope of a file's text and of what it uses; None when it cannot be read as a spec."""
        try:
            root = read_tree(source)
        except SpecError as error:
            for item in error.diagnostics:
                self.sink.add(item)
            return None
        for item in validate(root):
            self.sink.add_structural(item)
        scope = FileScope(read_spec(root, source, self.sink), folder)
        for used in scope.spec.uses:
            self._use(scope, used, chain)
        return scope

    def _use(self, scope: FileScope, used: Scalar, chain: tuple[Path, ...]) -> None:
        path = self._find(scope, used)
        if path is None:
            scope.incomplete = True
            return
        if path in chain:
            circle = " -> ".join(item.stem for item in (*chain[chain.index(path) :], path))
            help_text = "move what both need into a third file"
            self.sink.report("NL148", f"files use each other without end: {circle}", used.span, help=help_text)
            scope.incomplete = True
            return
        if len(chain) >= MOST_DEPTH or len(self._loaded) >= MOST_FILES:
            self.sink.report("NL148", f"more than {MOST_FILES} files, or more than {MOST_DEPTH} in a row, use each other", used.span)
            return
        if path not in self._loaded:
            try:
                self._loaded[path] = self.load(read_source(path), path.parent, (*chain, path))
            except SpecError as error:
                for item in error.diagnostics:
                    self.sink.report(item.code, item.message, used.span, help=item.help)
                self._loaded[path] = None
        part = self._loaded[path]
        if part is None:
            scope.incomplete = True
            return
        scope.incomplete = scope.incomplete or part.incomplete
        for name in (*part.spec.blocks, *part.spec.cells, *part.spec.networks):
            clash = name in scope.spec.blocks or name in scope.spec.cells or name in scope.spec.networks
            other = scope.imported.get(name)
            if clash or (other is not None and other is not part):
                self._report_clash(scope, used, name, other)
            else:
                scope.imported[name] = part

    def _report_clash(self, scope: FileScope, used: Scalar, name: str, other: FileScope | None) -> None:
        bodies = [*scope.spec.networks.values(), *(item.body for item in scope.spec.blocks.values())]
        bodies += [item.body for item in scope.spec.cells.values()]
        own = next((body for body in bodies if body.name == name), None)
        place = "here too" if own is not None or other is None else f"in `{other.spec.source.path}` too"
        self.sink.report(
            "NL149",
            f"`{used.value}` brings `{name}`, which is defined {place}",
            used.span,
            also=() if own is None else (Label(own.key.span, "defined here"),),
            help="rename one of the two",
        )

    def _find(self, scope: FileScope, used: Scalar) -> Path | None:
        """The file that a name under `use` means; None when reported."""
        name = used.value
        bundled = list_bundled()
        if name in bundled:
            return bundled[name]
        folder = scope.folder
        if folder is None:
            self.sink.report("NL148", f"no bundled spec is called `{name}`, and this spec has no folder to look in", used.span)
            return None
        path = folder / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
        limit = FOLDER if folder.is_relative_to(FOLDER) else folder
        if "\0" in name or not _inside(path, limit):
            self.sink.report(
                "NL148", f"`{name}` lies outside the spec's folder", used.span, help="copy it beside the spec: specs read no other folders"
            )
            return None
        if not _exists(path):
            near = suggest(name, list(bundled), self.sink)
            self.sink.report(
                "NL148",
                f"there is no bundled spec and no file `{name}`",
                used.span,
                help=f"did you mean `{near}`?" if near is not None else f"looked for `{path.relative_to(folder)}` in the spec's folder",
            )
            return None
        return path.resolve()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path, links resolved, lies in a folder."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False
