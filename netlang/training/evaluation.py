"""The metrics and samples of a spec with weights from a file, a run or a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from compiler.front.checked import Checked
from compiler.ir.training import Program
from netlang.training.engine import Engine, NonFinite
from netlang.training.engines import in_numbers_of, make_engine
from netlang.training.failures import failure
from netlang.training.feed import Evaluation
from netlang.training.functions import program_networks
from netlang.training.given_weights import find_weights
from netlang.training.loop import measure_all
from netlang.training.memory import require_memory
from netlang.training.sampling import Sampled, Sampler, Wanted, choose_samples, only_start, require_samples


def evaluate(
    checked: Checked,
    weights: Path | None = None,
    *,
    seed: int | None = None,
    backend: str | None = None,
    dtype: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    max_bytes: int | None = None,
) -> dict[str, float]:
    """The spec's metrics on its evaluation data.

    `weights` is a file of the only network, a folder with `<network>.safetensors` for each, or a run's folder, whose newest checkpoint
    serves while the run is not finished; without it, what the networks' own `weights` name. Raises SpecError (NL5xx, NL6xx, NL7xx).
    """
    program = checked.require().program
    if program is None or not program.metrics:
        raise failure("NL710", f"`{checked.name[:100]}` has no metrics", help="add `metrics` to its section `train`")
    measuring = dataclasses.replace(program, steps=(), samples={}, variables={}, carry=only_start(program))
    require_memory(checked, program.batch, max_bytes, training=False)
    with _open(checked, measuring, weights, "the metrics need", seed, backend, dtype, device, threads) as (alone, engine, _):
        metrics = measure_all(engine, Evaluation(alone))
        assert metrics is not None
        return metrics


def sample(
    checked: Checked,
    weights: Path | None = None,
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
    chosen = choose_samples(checked, names)
    require_samples(chosen, wanted)
    program = chosen.program
    assert program is not None
    require_memory(checked, program.batch, max_bytes, training=False)
    with _open(checked, program, weights, "the samples need", seed, backend, dtype, device, threads) as (alone, engine, run_seed):
        sampler = Sampler(alone, engine, Evaluation(alone), run_seed, wanted)
        return {name: sampler.compute(name) for name in program.samples}


@contextmanager
def _open(
    checked: Checked,
    program: Program,
    weights: Path | None,
    needed: str,
    seed: int | None,
    backend: str | None,
    dtype: str | None,
    device: str,
    threads: int | None,
) -> Iterator[tuple[Checked, Engine, int]]:
    """The spec with this part of its program, an engine of it with the weights of the networks that it calls, and the seed."""
    alone = in_numbers_of(dataclasses.replace(checked, program=program), dtype or "f32")
    whole = dataclasses.replace(checked, networks=alone.networks)
    loaded = find_weights(whole, weights, tuple(program_networks(alone)), needed)
    chosen = program.seed if seed is None else seed
    with closing(make_engine(alone, chosen, 1, backend or "torch", device, threads)) as engine:
        engine.load_weights(loaded)
        try:
            engine.require_finite()
        except NonFinite as error:
            what = f"the weights `{error.names[0]}`{'' if weights is None else f' in `{weights}`'} are not finite"
            raise failure("NL605", what, help="use an earlier checkpoint") from None
        yield alone, engine, chosen
