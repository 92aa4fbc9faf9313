"""The weights that a command or a run begins with: from a path that it is given, or from the files that the spec names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from compiler.front.checked import Checked
from netlang.training.checkpoint import load_newest
from netlang.training.failures import failure
from netlang.training.foreign_weights import read_entry, read_foreign
from netlang.training.frozen_weights import read_origins
from netlang.training.functions import program_networks
from netlang.training.loop import weights_file
from netlang.training.state import read_evaluated, read_progress
from netlang.training.weight_search import look_for
from netlang.training.weights import Stored, expected_types, read_weights


def find_weights(checked: Checked, path: Path | None, networks: tuple[str, ...], needed: str) -> Mapping[str, Mapping[str, Stored]]:
    """The weights of these networks from a path, or from where the spec says; names and types have been checked.

    `needed` begins the sentence on several ones.
    """
    expected = {name: expected_types(checked.networks[name]) for name in networks}
    if path is None:
        return named_weights(checked, networks)
    if not path.is_dir():
        if len(networks) > 1:
            shown = ", ".join(f"`{name}`" for name in networks)
            raise failure("NL705", f"`{path}` is one file, but {needed} {shown}", help="give a folder with a file for each")
        return {name: read_given(checked, name, path) for name in networks}
    files = {name: path / weights_file(name, len(program_networks(checked))) for name in networks}
    missing = [name for name, file in files.items() if not file.exists()]
    if not missing:
        return {name: read_weights(file, expected[name]) for name, file in files.items()}
    checkpoint, _ = load_newest(path)
    origins = read_progress(checkpoint).frozen
    found = read_origins(checked, {name: origins[name] for name in networks if name in origins})
    for name in [name for name in networks if name not in found]:
        finished = all(item in found for item in missing)
        found[name] = read_weights(files[name], expected[name]) if finished else read_evaluated(checkpoint, name, expected[name])
    return found


def has_weights(checked: Checked, network: str) -> bool:
    """Whether the file that the spec names for a network is there."""
    return network in checked.weights and look_for(checked.weights[network]) is not None


def named_weights(checked: Checked, networks: Iterable[str]) -> dict[str, dict[str, Stored]]:
    """The weights of networks from the files that the spec names; SpecError NL705 for one that names none."""
    found = {}
    for name in networks:
        if name not in checked.weights:
            raise failure("NL705", f"there are no weights for `{name}`", help="give them: `--weights PATH`")
        found[name] = read_entry(checked.weights[name], name, expected_types(checked.networks[name]))
    return found


def read_given(checked: Checked, network: str, path: Path) -> dict[str, Stored]:
    """The weights of a network from a file that the command line gives, in the layout that the spec says."""
    entry = checked.weights.get(network)
    return read_foreign(path, expected_types(checked.networks[network]), layout="" if entry is None else entry.layout)


def first_weights(checked: Checked, path: Path | None) -> dict[str, dict[str, Stored]]:
    """What a run's networks begin with instead of drawn weights: files that the spec names; `path` wins, for one network a file."""
    networks = tuple(program_networks(checked))
    named = [name for name in networks if name in checked.weights]
    if path is None:
        return named_weights(checked, named)
    if path.is_dir():
        there = tuple(name for name in networks if (path / weights_file(name, len(networks))).exists())
        given = find_weights(checked, path, there or networks, "the program needs")
        others = named_weights(checked, [name for name in named if name not in given])
        return others | {name: dict(tensors) for name, tensors in given.items()}
    meant = named or list(networks)
    if len(meant) != 1:
        shown = ", ".join(f"`{name}`" for name in meant)
        raise failure("NL705", f"`{path}` is one file, and may be meant for {shown}", help="give a folder with a file for each")
    return {meant[0]: read_given(checked, meant[0], path)}
