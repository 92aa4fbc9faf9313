"""The metrics and samples of a spec with weights from a file, a run or a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from compiler.front.checked import Checked
from compiler.ir.graph import called_networks
from netlang.training.checkpoint import load_newest
from netlang.training.engine import Engine, NonFinite
from netlang.training.engines import in_numbers_of, make_engine
from netlang.training.failures import failure
from netlang.training.feed import Evaluation
from netlang.training.functions import program_networks
from netlang.training.loop import measure_all, weights_file
from netlang.training.memory import require_memory
from netlang.training.sampling import Sampled, Sampler, Wanted, choose_samples, require_samples
from netlang.training.state import network_file
from netlang.training.weights import Stored, decode_weights, expected_types, read_weights


def evaluate(
    checked: Checked,
    weights: Path,
    *,
    seed: int | None = None,
    backend: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
) -> dict[str, float]:
    """The spec's metrics on its evaluation data.

    `weights` is a safetensors file of the only network, a folder with `<network>.safetensors` for each, or a run's folder, whose newest
    checkpoint serves while the run is not finished. Raises SpecError (codes NL5xx, NL6xx, NL7xx).
    """
    program = checked.require().program
    if program is None or not program.metrics:
        raise failure("NL710", f"`{checked.name[:100]}` has no metrics", help="add `metrics` to its section `train`")
    require_memory(checked, program.batch, max_bytes, training=False)
    checked = in_numbers_of(checked, dtype or "f32")
    measured = {name for graph in program.metrics.values() for name in called_networks(graph)}
    loaded = find_weights(checked, weights, tuple(name for name in checked.networks if name in measured), "the metrics need")
    evaluation = Evaluation(checked)
    run_seed = program.seed if seed is None else seed
    with closing(make_engine(checked, run_seed, 1, backend or "torch", device, threads)) as engine:
        load_finite(engine, loaded, weights)
        metrics = measure_all(engine, evaluation)
        assert metrics is not None
        return metrics


def sample(
    checked: Checked,
    weights: Path,
    names: Sequence[str] = (),
    *,
    wanted: Wanted | None = None,
    seed: int | None = None,
    backend: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
) -> dict[str, Sampled]:
    """These samples of a spec (all unless given), with weights as `evaluate` takes them: arrays of pictures or points, texts.

    Raises SpecError (codes NL5xx, NL6xx, NL7xx).
    """
    alone = choose_samples(checked, names)
    program = alone.program
    assert program is not None
    require_samples(alone, wanted)
    require_memory(alone, program.batch, max_bytes, training=False)
    alone = in_numbers_of(alone, dtype or "f32")
    whole = dataclasses.replace(checked, networks=alone.networks)
    loaded = find_weights(whole, weights, tuple(program_networks(alone)), "the samples need")
    run_seed = program.seed if seed is None else seed
    with closing(make_engine(alone, run_seed, 1, backend or "torch", device, threads)) as engine:
        load_finite(engine, loaded, weights)
        sampler = Sampler(alone, engine, Evaluation(alone), run_seed, wanted)
        return {name: sampler.compute(name) for name in program.samples}


def load_finite(engine: Engine, loaded: Mapping[str, Mapping[str, Stored]], path: Path) -> None:
    """Give an engine the weights that were read from `path`; SpecError NL605 where one is NaN or infinite."""
    engine.load_weights(loaded)
    try:
        engine.require_finite()
    except NonFinite as error:
        raise failure("NL605", f"the weights `{error.names[0]}` in `{path}` are not finite", help="use an earlier checkpoint") from None


def find_weights(checked: Checked, path: Path, networks: tuple[str, ...], needed: str) -> Mapping[str, Mapping[str, Stored]]:
    """The weights of these networks; names and types have been checked. `needed` begins the sentence on several ones."""
    expected = {name: expected_types(checked.networks[name]) for name in networks}
    if not path.is_dir():
        if len(networks) > 1:
            shown = ", ".join(f"`{name}`" for name in networks)
            raise failure("NL705", f"`{path}` is one file, but {needed} {shown}", help="give a folder with a file for each")
        return {name: read_weights(path, types) for name, types in expected.items()}
    files = {name: path / weights_file(name, len(program_networks(checked))) for name in networks}
    if all(file.exists() for file in files.values()):
        return {name: read_weights(file, expected[name]) for name, file in files.items()}
    checkpoint, _ = load_newest(path)
    missing = [name for name in networks if network_file(name) not in checkpoint.files]
    if missing:
        raise failure("NL705", f"`{checkpoint.path}` holds no weights of `{missing[0]}`")
    return {
        name: decode_weights(checkpoint.files[network_file(name)], f"{checkpoint.path}/{network_file(name)}", types)
        for name, types in expected.items()
    }
