"""Limited-memory BFGS on one flat array, with the decisions of torch.optim.LBFGS.

Sources: Nocedal and Wright, Numerical Optimization, 2nd edition: algorithm 7.4 (two loops), 3.5 and 3.6 (strong Wolfe conditions), equation
3.59 (cubic interpolation); the safeguards and constants are those of torch.optim.LBFGS (PyTorch 2.13).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

from compiler.ir.training import Lbfgs

Array: TypeAlias = Any
Evaluate: TypeAlias = Callable[[Array], tuple[float, Array]]
"""The objective and its gradient, an array of its own, at a place."""

SUFFICIENT: Final = 1e-4
FLATTER: Final = 0.9
CURVED: Final = 1e-10


@final
@dataclass(frozen=True, slots=True)
class Trial:
    """A step of length `t`: the objective there, its gradient, and its slope along the direction."""

    t: float
    value: float
    gradient: Array
    slope: float


@final
@dataclass(slots=True)
class Memory:
    """What one update leaves to the next: its last direction, step, gradient, and the pairs that stand for the curvature."""

    steps: int = 0
    t: float = 0.0
    scale: float = 1.0
    direction: Array = None
    gradient: Array = None
    changes: list[Array] = field(default_factory=list)
    moves: list[Array] = field(default_factory=list)
    inverses: list[float] = field(default_factory=list)


def minimize(record: Lbfgs, lr: float, x: Array, evaluate: Evaluate, memory: Memory, module: Any) -> float:
    """One update: move `x`, in place, until a limit or a tolerance is reached; the objective where it began."""
    value, gradient = evaluate(x)
    began, evaluations = value, 1
    if _largest(module, gradient) <= record.tolerance_grad:
        return began
    for iteration in range(1, record.max_iter + 1):
        _choose_direction(record, gradient, memory)
        before, direction = value, memory.direction
        memory.gradient = gradient.copy()
        memory.t = min(1.0, 1.0 / float(module.abs(gradient).sum())) * lr if memory.steps == 1 else lr
        slope = float(gradient @ direction)
        if slope > -record.tolerance_change:
            break
        if record.line_search_fn == "strong_wolfe":
            start = Trial(0.0, value, gradient, slope)
            most = record.most_evaluations - evaluations
            found, used = search(evaluate, x.copy(), direction, memory.t, start, record.tolerance_change, most, module)
            memory.t, value, gradient = found.t, found.value, found.gradient
            x += memory.t * direction
        else:
            x += memory.t * direction
            used = int(iteration != record.max_iter)
            if used:
                value, gradient = evaluate(x)
        evaluations += used
        if evaluations >= record.most_evaluations or _largest(module, gradient) <= record.tolerance_grad:
            break
        if _largest(module, direction) * abs(memory.t) <= record.tolerance_change or abs(value - before) < record.tolerance_change:
            break
    return began


def _largest(module: Any, array: Array) -> float:
    return float(module.abs(array).max())


def _choose_direction(record: Lbfgs, gradient: Array, memory: Memory) -> None:
    """Remember the last step's curvature where it is positive, and set the direction by the two loops."""
    memory.steps += 1
    if memory.steps == 1:
        memory.direction = -gradient
        return
    change, move = gradient - memory.gradient, memory.direction * memory.t
    curvature = float(change @ move)
    if curvature > CURVED:
        if len(memory.changes) == record.history_size:
            del memory.changes[0], memory.moves[0], memory.inverses[0]
        memory.changes.append(change)
        memory.moves.append(move)
        memory.inverses.append(1.0 / curvature)
        memory.scale = curvature / float(change @ change)
    direction = -gradient
    pairs = list(zip(memory.changes, memory.moves, memory.inverses, strict=True))
    shares = []
    for change, move, inverse in reversed(pairs):
        shares.append(float(move @ direction) * inverse)
        direction -= shares[-1] * change
    direction *= memory.scale
    for (change, move, inverse), share in zip(pairs, reversed(shares), strict=True):
        direction += (share - float(change @ direction) * inverse) * move
    memory.direction = direction


def search(
    evaluate: Evaluate, x: Array, direction: Array, t: float, start: Trial, tolerance: float, most: int, module: Any
) -> tuple[Trial, int]:  # fmt: skip
    """A step that fulfils the strong Wolfe conditions, or the best of `most` + 1; and the number of evaluations."""

    def attempt(length: float) -> Trial:
        value, gradient = evaluate(x + length * direction)
        return Trial(length, value, gradient, float(gradient @ direction))

    low, high, trials, done = _bracket(attempt, t, start, most)
    wide = _largest(module, direction)
    stalled = False
    while not done and trials < most and abs(high.t - low.t) * wide >= tolerance:
        length, stalled = _place(low, high, stalled)
        trial = attempt(length)
        trials += 1
        if trial.value > start.value + SUFFICIENT * trial.t * start.slope or trial.value >= low.value:
            low, high = _ordered(low, trial)
            continue
        done = abs(trial.slope) <= -FLATTER * start.slope
        if not done and trial.slope * (high.t - low.t) >= 0:
            high = low
        low = trial
    return low, trials + 1


def _ordered(first: Trial, second: Trial) -> tuple[Trial, Trial]:
    """The lower one first; the earlier where they are equal."""
    return (first, second) if first.value <= second.value else (second, first)


def _bracket(attempt: Callable[[float], Trial], t: float, start: Trial, most: int) -> tuple[Trial, Trial, int, bool]:
    """Two steps with a good one between them, the lower first; how many trials followed the first; whether it is found already."""
    before, trial = start, attempt(t)
    for trials in range(most):
        if trial.value > start.value + SUFFICIENT * trial.t * start.slope or (trials > 1 and trial.value >= before.value):
            return *_ordered(before, trial), trials, False
        if abs(trial.slope) <= -FLATTER * start.slope:
            return trial, trial, trials, True
        if trial.slope >= 0:
            return *_ordered(before, trial), trials, False
        bounds = (trial.t + 0.01 * (trial.t - before.t), trial.t * 10)
        before, trial = trial, attempt(interpolate(before, trial, bounds))
    return *_ordered(start, trial), most, True


def _place(low: Trial, high: Trial, stalled: bool) -> tuple[float, bool]:
    """Where to try next: off the ends of the bracket by a tenth where the last try was close to one too, or this one is outside."""
    first, last = min(low.t, high.t), max(low.t, high.t)
    earlier, later = (low, high) if low.t <= high.t else (high, low)
    t = interpolate(earlier, later, (first, last))
    margin = 0.1 * (last - first)
    if min(last - t, t - first) >= margin:
        return t, False
    if stalled or t >= last or t <= first:
        return (last - margin if abs(t - last) < abs(t - first) else first + margin), False
    return t, True


def interpolate(a: Trial, b: Trial, bounds: tuple[float, float]) -> float:
    """The least point of the cubic with the values and slopes of two trials, `a` before `b`, within the bounds; else their middle."""
    first = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = first**2 - a.slope * b.slope
    if not square >= 0:
        return (bounds[0] + bounds[1]) / 2
    root = math.sqrt(square)
    if a.t <= b.t:
        least = b.t - (b.t - a.t) * ((b.slope + root - first) / (b.slope - a.slope + 2 * root))
    else:
        least = a.t - (a.t - b.t) * ((a.slope + root - first) / (a.slope - b.slope + 2 * root))
    return min(max(least, bounds[0]), bounds[1])


@final
class NumpyLbfgs:
    """The record at work on these parameters, as one flat array; `compute` gives the objective, to be made smaller, and gradients."""

    def __init__(self, record: Lbfgs, parameters: Mapping[str, Array], module: Any) -> None:
        self._record = record
        self._parameters = dict(parameters)
        self._module = module
        self._memory = Memory()

    def step(self, compute: Callable[[], tuple[float, Mapping[str, Array]]], iteration: int, total: int) -> None:
        """One update of the parameters, in place; a parameter without gradient has the gradient 0."""

        def evaluate(place: Array) -> tuple[float, Array]:
            self._write(place)
            value, gradients = compute()
            given = (gradients.get(name) for name in self._parameters)
            pairs = zip(given, self._parameters.values(), strict=True)
            parts = [(self._module.zeros_like(w) if g is None else g).reshape(-1) for g, w in pairs]
            return value, self._module.concatenate(parts)

        x = self._module.concatenate([array.reshape(-1) for array in self._parameters.values()])
        lr = float(self._record.settings(iteration, total)["lr"])
        minimize(self._record, lr, x, evaluate, self._memory, self._module)
        self._write(x)

    def _write(self, place: Array) -> None:
        start = 0
        for array in self._parameters.values():
            array[...] = place[start : start + array.size].reshape(array.shape)
            start += array.size

    def read_state(self) -> dict[str, Array]:
        """The memory as arrays; empty before the first update."""
        memory, module = self._memory, self._module
        if memory.steps == 0:
            return {}
        found = {
            "steps": module.asarray(memory.steps, module.int64),
            "t": module.asarray(memory.t, module.float64),
            "scale": module.asarray(memory.scale, module.float64),
            "inverses": module.asarray(memory.inverses, module.float64),
            "direction": memory.direction,
            "gradient": memory.gradient,
        }
        for what in ("changes", "moves"):
            found |= {f"{what}_{index}": array for index, array in enumerate(getattr(memory, what))}
        return {f"lbfgs:{name}": array for name, array in found.items()}

    def write_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `read_state` gave; ValueError where it is another optimizer's."""
        if not state:
            self._memory = Memory()
            return
        size = sum(array.size for array in self._parameters.values())
        taken = {name.removeprefix("lbfgs:"): self._module.asarray(array) for name, array in state.items()}
        try:
            inverses = [float(item) for item in taken["inverses"]]
            changes, moves = ([taken[f"{what}_{index}"] for index in range(len(inverses))] for what in ("changes", "moves"))
            vectors = (taken["direction"], taken["gradient"])
            numbers = int(taken["steps"]), float(taken["t"]), float(taken["scale"])
        except KeyError as error:
            raise ValueError(f"the state of lbfgs lacks {error}") from error
        if any(vector.shape != (size,) for vector in (*vectors, *changes, *moves)):
            raise ValueError("the state of lbfgs is that of other parameters")
        self._memory = Memory(*numbers, *vectors, changes, moves, inverses)
