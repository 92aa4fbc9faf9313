"""Weights that a run leaves in the files that its spec names: those of networks that nothing in the run changes.

Checkpoints say which file it was and its SHA-256; whoever reads them finds the file as the run did and refuses another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from compiler.diagnostics.quote import show
from compiler.front.checked import Checked
from netlang.training.failures import failure
from netlang.training.foreign_weights import read_entry
from netlang.training.functions import program_networks
from netlang.training.weight_search import find_weight_file, hash_file
from netlang.training.weights import Stored, expected_types


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a network's weights are in."""

    file: str
    sha256: str


def find_origins(checked: Checked) -> dict[str, Origin]:
    """The files of the networks that name one and are not changed: none updates them, or runs them in training mode. SpecError NL6xx."""
    program = checked.program
    assert program is not None
    changed = {name for step in program.steps for name in (*step.update, *(name for name, training in step.mode.items() if training))}
    names = [name for name in program_networks(checked) if name in checked.weights and name not in changed]
    paths = {name: find_weight_file(checked.weights[name], name) for name in names}
    return {name: Origin(str(path), hash_file(path)) for name, path in paths.items()}


def read_origins(checked: Checked, origins: Mapping[str, Origin]) -> dict[str, dict[str, Stored]]:
    """The weights of these networks from where the spec says; SpecError NL717 where that is another file than it was."""
    found = {}
    for name, origin in origins.items():
        if name not in checked.weights:
            help = "use the spec that the run was started with"
            raise failure("NL717", f"the run read the weights of `{name}` from {show(origin.file)}, but the spec names none", help=help)
        path = find_weight_file(checked.weights[name], name)
        digest = hash_file(path)
        if digest != origin.sha256:
            raise failure(
                "NL717",
                f"the weights of `{name}` have changed since the run was started",
                checked.weights[name].span,
                notes=(f"the run read {show(origin.file)}, SHA-256 {origin.sha256[:16]}…", f"found is {show(str(path))}, {digest[:16]}…"),
                help="put the file back, or start a new run",
            )
        found[name] = read_entry(checked.weights[name], name, expected_types(checked.networks[name]))
    return found
