"""What a checkpoint's files mean: the state of a run as files, and a run put back into it.

`network.<name>.safetensors` for each network whose weights are in no file of the spec's (see frozen_weights.py),
`optimizers.safetensors`, `random.safetensors`, `spec.yaml`, and `progress.json`. Schedules have no state: they follow from
the iteration. Nor has the order of the data: it follows from the seed and the positions.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, final

from compiler.diagnostics import Diagnostic, Severity, SpecError
from compiler.front.checked import Checked
from compiler.front.graph_calls import show_constant
from compiler.front.values import Function
from compiler.ir.types import TensorType
from netlang.training.checkpoint import Checkpoint
from netlang.training.durable import Part
from netlang.training.engine import Engine
from netlang.training.failures import failure
from netlang.training.feed import Feed
from netlang.training.frozen_weights import Origin, read_origins
from netlang.training.run_folder import read_versions
from netlang.training.weights import Stored, decode_weights, encode_weights, expected_types

PROGRESS: Final = "progress.json"
SPEC: Final = "spec.yaml"
OPTIMIZERS: Final = "optimizers.safetensors"
AVERAGE: Final = "average"
"""What the names of averaged weights begin with in the file of the optimizers: `average:net.a.weight`."""
SETTINGS: Final = {"backend": "back end", "dtype": "type"}


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is and what it depends on. `pending` says that the metrics of this iteration are still to be taken.

    `frozen` are the networks whose weights are in files that the spec names.
    """

    iteration: int
    total: int
    pending: bool
    positions: Mapping[str, Sequence[int]]
    log_bytes: int
    seed: int
    backend: str
    dtype: str
    threads: int
    device: str
    constants: Mapping[str, str]
    versions: Mapping[str, str]
    frozen: Mapping[str, Origin] = field(default_factory=dict)


def network_file(name: str) -> str:
    return f"network.{name}.safetensors"


def show_constants(checked: Checked) -> dict[str, str]:
    """The constants under `let` with their values, the command line's included."""
    return {name: show_constant(value) if isinstance(value, Function) else str(value) for name, value in checked.constants.items()}


def spec_text(checked: Checked) -> str:
    return checked.source.text if checked.source is not None else ""


def collect(checked: Checked, engine: Engine, progress: Progress) -> dict[str, Sequence[Part]]:
    """The files of a checkpoint; views of the engine's memory, to be written before the next update."""
    files: dict[str, Sequence[Part]] = {
        network_file(name): encode_weights(tensors) for name, tensors in engine.weights().items() if name not in progress.frozen
    }
    files[OPTIMIZERS] = encode_weights(engine.optimizers())
    files["random.safetensors"] = encode_weights(engine.random_states())
    files[SPEC] = [spec_text(checked).encode()]
    files[PROGRESS] = [json.dumps(asdict(progress), indent=1).encode()]
    return files


def read_progress(checkpoint: Checkpoint) -> Progress:
    """What the checkpoint says about its run; SpecError NL715 where it is none of ours."""
    try:
        told = json.loads(bytes(checkpoint.files[PROGRESS]))
        frozen = {name: Origin(**item) for name, item in told.pop("frozen", {}).items()}
        return Progress(**told, frozen=frozen)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(checkpoint, str(error)) from error


def read_evaluated(checkpoint: Checkpoint, name: str, expected: Mapping[str, TensorType]) -> dict[str, Stored]:
    """The weights of a network as they are evaluated: averages where a step says so. Raises SpecError NL602 to NL604, NL705."""
    if network_file(name) not in checkpoint.files:
        raise failure("NL705", f"`{checkpoint.path}` holds no weights of `{name}`")
    decoded = decode_weights(checkpoint.files[network_file(name)], f"{checkpoint.path}/{network_file(name)}", expected)
    kept = decode_weights(checkpoint.files[OPTIMIZERS], f"{checkpoint.path}/{OPTIMIZERS}") if OPTIMIZERS in checkpoint.files else {}
    averages = {key: kept[full] for key in decoded if (full := f"{AVERAGE}:{name}.{key}") in kept}
    return decoded | {key: value for key, value in averages.items() if value.type == decoded[key].type}


def require_same_run(checked: Checked, checkpoint: Checkpoint, progress: Progress, **settings: object) -> None:
    """SpecError NL717 where the spec, a constant or a setting (None where it is not given) is not the one that the run was started with."""
    before, now = bytes(checkpoint.files.get(SPEC, b"")).decode(errors="replace"), spec_text(checked)
    help = "continue with what the run was started with, or start a new run"
    if before != now:
        raise failure("NL717", "the spec has changed since the run was started", notes=_first_difference(before, now), help=help)
    constants = show_constants(checked)
    changed = [name for name in sorted(constants.keys() | progress.constants.keys()) if constants.get(name) != progress.constants.get(name)]
    if changed:
        notes = tuple(
            f"`{name}` was {progress.constants.get(name, 'not set')}, is {constants.get(name, 'not set')}" for name in changed[:5]
        )
        raise failure("NL717", "a constant has another value than when the run was started", notes=notes, help=help)
    for name, value in settings.items():
        if value is not None and value != getattr(progress, name):
            what = SETTINGS.get(name, name)
            raise failure("NL717", f"the run was started with the {what} {getattr(progress, name)}, not {value}", help=help)


def _first_difference(before: str, now: str) -> tuple[str, ...]:
    old, new = before.splitlines(), now.splitlines()
    for kind, start, end, new_start, new_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            was = old[start] if start < end else "no such line"
            is_now = new[new_start] if new_start < new_end else "no such line"
            return (f"line {new_start + 1} was `{was.strip()[:100]}`", f"line {new_start + 1} is `{is_now.strip()[:100]}`")
    return ("only line ends differ",)


def compare_run(progress: Progress, engine: Engine, total: int, device: str) -> tuple[Diagnostic, ...]:
    """Warnings about what lets the numbers of the continued run differ from an unbroken one's."""
    differs = "results may differ in the last digits"
    compared = [
        ("threads", progress.threads, engine.threads, differs),
        ("device", progress.device, device, differs),
        ("iterations", progress.total, total, "schedules follow the new length"),
    ]
    compared += [(f"version of {name}", progress.versions.get(name, "none"), now, differs) for name, now in read_versions().items()]
    return tuple(
        Diagnostic("NL718", f"the run was started with {what} {before}, and goes on with {now}: {effect}", None, severity=Severity.WARNING)
        for what, before, now, effect in compared
        if before != now
    )


def restore(checked: Checked, checkpoint: Checkpoint, progress: Progress, engine: Engine, feed: Feed) -> None:
    """Put engine and feed where the checkpoint was taken. Raises SpecError."""
    decoded: dict[str, Any] = read_origins(checked, progress.frozen)
    for name in [name for name in engine.weights() if name not in decoded]:
        if network_file(name) not in checkpoint.files:
            raise _foreign(checkpoint, f"it has no `{network_file(name)}`")
        shown = f"{checkpoint.path}/{network_file(name)}"
        decoded[name] = decode_weights(checkpoint.files[network_file(name)], shown, expected_types(checked.networks[name]))
    engine.load_weights(decoded)
    try:
        optimizers, random_states = (
            decode_weights(checkpoint.files[f"{name}.safetensors"], f"{checkpoint.path}/{name}.safetensors")
            for name in ("optimizers", "random")
        )
        engine.load_state(optimizers, random_states)
        feed.seek({name: (place[0], place[1]) for name, place in progress.positions.items()})
    except (KeyError, ValueError, IndexError) as error:
        raise _foreign(checkpoint, str(error)) from error


def _foreign(checkpoint: Checkpoint, reason: str) -> SpecError:
    return failure("NL715", f"`{checkpoint.path}` is no checkpoint of this program: {reason}")
