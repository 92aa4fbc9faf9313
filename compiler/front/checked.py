"""The front end's whole work: a spec's text in, a checked module of typed graphs out, with every diagnostic of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from compiler.diagnostics import Diagnostic, Severity, SpecError
from compiler.front.cell_checks import check_cells
from compiler.front.elaborate import Elaboration
from compiler.front.files import read_source
from compiler.front.load import Loader
from compiler.front.program import ProgramElaboration
from compiler.front.readers import Reader
from compiler.front.scope import FileScope, Task, run
from compiler.front.sink import Sink
from compiler.front.spec import CellDefinition
from compiler.front.unreached import check_unreached
from compiler.front.unused import warn_unused
from compiler.front.values import NetworkFunction
from compiler.front.weight_files import WeightFile, read_weight_file
from compiler.ir.graph import Graph
from compiler.ir.training import Program
from compiler.source import Source, Span


@final
@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What a spec means. `failed` says that there are errors: then what they touch is missing.

    `networks` are the spec's own, its variables, and those it uses from other files, by name, in the order of the file.
    Sources of data have types before anything is read.
    """

    name: str
    doc: str
    source: Source | None
    folder: Path | None
    networks: Mapping[str, Graph]
    program: Program | None
    readers: Mapping[str, Reader]
    constants: Mapping[str, object]
    diagnostics: tuple[Diagnostic, ...]
    places: Mapping[str, Span] = field(default_factory=dict)
    """Where each data source stands."""
    weights: Mapping[str, WeightFile] = field(default_factory=dict)
    """Where weights come from, by network; a network that says nothing has none."""
    cells: Mapping[str, CellDefinition] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(item.severity is Severity.ERROR for item in self.diagnostics)

    def require(self) -> Checked:
        """Itself, if there are no errors; raises SpecError with all diagnostics otherwise."""
        if self.failed:
            raise SpecError(self.diagnostics)
        return self


def check(
    spec: str | Path | Source, *, readers: Mapping[str, type[Reader]] | None = None, overrides: Mapping[str, str] | None = None
) -> Checked:
    """Check a spec: a path, or a Source for text that is no file. Never raises for what is wrong in it.

    `overrides` replaces constants under `let`, as `--set name=text` does; `readers` are the data readers specs may call.
    """
    sink = Sink()
    folder = None
    try:
        if isinstance(spec, Source):
            source = spec
        else:
            folder = Path(spec).resolve().parent
            source = read_source(spec)
    except SpecError as error:
        return Checked(str(spec), "", None, folder, {}, None, {}, {}, error.diagnostics)
    scope = Loader(sink).load(source, folder)
    if scope is None:
        return Checked(Path(source.path).stem, "", source, folder, {}, None, {}, {}, tuple(sink.diagnostics))
    elaboration = Elaboration(sink, dict(readers or {}), dict(overrides or {}))
    elaboration.main = scope
    work = ProgramElaboration(elaboration, scope)
    networks, program = run(_elaborate(elaboration, work, scope))
    weights = _read_weights(scope, networks, sink)
    return Checked(
        scope.spec.name or Path(source.path).stem, scope.spec.doc, source, folder, networks, program, work.readers, scope.constants,
        tuple(sink.diagnostics), {name: pair.value.span for name, pair in scope.spec.data.items()}, weights,
        scope.spec.cells,
    )  # fmt: skip


def _read_weights(scope: FileScope, networks: Mapping[str, Graph], sink: Sink) -> dict[str, WeightFile]:
    """Of the file's own networks, and of those that it has from others; variables stand among networks and have none."""
    homes = dict.fromkeys(scope.spec.networks, scope) | {name: scope.imported[name] for name in networks if name in scope.imported}
    files = {name: read_weight_file(home.spec.networks[name], home.folder, sink) for name, home in homes.items()}
    return {name: file for name, file in files.items() if file is not None}


def _elaborate(elaboration: Elaboration, work: ProgramElaboration, scope: FileScope) -> Task:
    elaboration.report_unknown_overrides(scope.spec)
    for name in scope.spec.lets:
        yield elaboration.constant(scope, name)
    networks: dict[str, Graph] = {}
    for name in scope.spec.networks:
        made = yield elaboration.network(scope, name)
        if isinstance(made, NetworkFunction):
            networks[name] = made.graph
    yield work.read_data()
    networks.update((name, variable.network) for name, variable in work.variables.items())
    program = yield work.program()
    yield work.check_asserts()
    for used in scope.imported.values():
        for name, made in used.networks.items():
            if isinstance(made, NetworkFunction):
                networks.setdefault(name, made.graph)
    check_unreached(elaboration, scope)
    check_cells(elaboration, scope.spec.cells)
    if not elaboration.sink.failed:
        warn_unused(elaboration.graphs, elaboration.sink)
    return networks, program
