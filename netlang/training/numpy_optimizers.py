"""The update rules of torch.optim on NumPy arrays: same settings, same states under the same names, numbers changed in place.

Source of each formula: the algorithm box in the documentation of the torch.optim class that its docstring names (PyTorch 2.6 and later);
`w` is a parameter, `g` its gradient. No rule allocates: two scratch arrays of the largest parameter's size serve all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from compiler.ir.training import Adagrad, Adam, AdamW, Momentum, Optimizer, RmsProp, Sgd

Array: TypeAlias = Any
State: TypeAlias = dict[str, Array]


@final
@dataclass(slots=True)
class Place:
    """One parameter while it is updated; `first` and `second` are scratch arrays of its shape, `module` is NumPy or what stands for it."""

    w: Array
    g: Array
    state: State
    first: Array
    second: Array
    module: Any

    def kept(self, name: str, value: float = 0.0) -> Array:
        """A state of the parameter's shape, filled with `value` when first asked for."""
        if name not in self.state:
            self.state[name] = self.module.full_like(self.w, value)
        return self.state[name]

    def count(self) -> int:
        """How often the parameter has been updated, this time included; kept as f32, as torch does."""
        if "step" not in self.state:
            self.state["step"] = self.module.zeros((), self.module.float32)
        self.state["step"] += 1
        return int(self.state["step"])


Settings: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Place, Settings], None]


def descend(at: Place, settings: Settings) -> None:
    """torch.optim.SGD: v = momentum v + (1 - dampening) g, at first g; w -= lr v, with nesterov lr (g + momentum v)."""
    momentum, change = settings["momentum"], at.g
    if momentum != 0:
        if "momentum_buffer" in at.state:
            velocity = at.state["momentum_buffer"]
            velocity *= momentum
            at.module.multiply(at.g, 1 - settings.get("dampening", 0.0), out=at.second)
            velocity += at.second
        else:
            velocity = at.state["momentum_buffer"] = at.g.copy()
        change = velocity
        if settings["nesterov"]:
            at.module.multiply(velocity, momentum, out=at.second)
            at.second += at.g
            change = at.second
    at.module.multiply(change, settings["lr"], out=at.second)
    at.w -= at.second


def scale_by_root_mean_square(at: Place, settings: Settings) -> None:
    """torch.optim.RMSprop: s = alpha s + (1 - alpha) g², less the squared mean of g if centered; w -= lr g / (sqrt(s) + eps)."""
    at.count()
    alpha, square = settings["alpha"], at.kept("square_avg")
    _decay(at, square, alpha, at.g, at.g)
    root = at.second
    if settings["centered"]:
        mean = at.kept("grad_avg")
        at.module.subtract(at.g, mean, out=root)
        root *= 1 - alpha
        mean += root
        at.module.multiply(mean, mean, out=root)
        at.module.subtract(square, root, out=root)
        at.module.sqrt(root, out=root)
    else:
        at.module.sqrt(square, out=root)
    root += settings["eps"]
    at.module.divide(at.g, root, out=root)
    if settings["momentum"] > 0:
        velocity = at.kept("momentum_buffer")
        velocity *= settings["momentum"]
        velocity += root
        at.module.multiply(velocity, settings["lr"], out=root)
    else:
        root *= settings["lr"]
    at.w -= root


def estimate_moments(at: Place, settings: Settings) -> None:
    """torch.optim.Adam: m, v are means of g, g² with memories betas; w -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps).

    With amsgrad the largest v so far stands for v.
    """
    count = at.count()
    beta1, beta2 = settings["betas"]
    mean, square = at.kept("exp_avg"), at.kept("exp_avg_sq")
    at.module.subtract(at.g, mean, out=at.second)
    at.second *= 1 - beta1
    mean += at.second
    _decay(at, square, beta2, at.g, at.g)
    if settings["amsgrad"]:
        largest = at.kept("max_exp_avg_sq")
        square = at.module.maximum(largest, square, out=largest)
    root = at.module.sqrt(square, out=at.second)
    root /= math.sqrt(1 - beta2**count)
    root += settings["eps"]
    at.module.divide(mean, root, out=root)
    root *= settings["lr"] / (1 - beta1**count)
    at.w -= root


def estimate_moments_decoupled(at: Place, settings: Settings) -> None:
    """torch.optim.AdamW: w *= 1 - lr weight_decay, then as Adam without weight decay."""
    at.w *= 1 - settings["lr"] * settings["weight_decay"]
    estimate_moments(at, settings)


def accumulate_squares(at: Place, settings: Settings) -> None:
    """torch.optim.Adagrad: s += g²; w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)."""
    count = at.count()
    total = at.kept("sum", settings["initial_accumulator_value"])
    at.module.multiply(at.g, at.g, out=at.second)
    total += at.second
    root = at.module.sqrt(total, out=at.second)
    root += settings["eps"]
    at.module.divide(at.g, root, out=root)
    root *= settings["lr"] / (1 + (count - 1) * settings["lr_decay"])
    at.w -= root


def _decay(at: Place, kept: Array, memory: float, a: Array, b: Array) -> None:
    """kept = memory kept + (1 - memory) a b."""
    kept *= memory
    at.module.multiply(a, b, out=at.second)
    at.second *= 1 - memory
    kept += at.second


RULES: Final[dict[type[Optimizer], Rule]] = {
    Sgd: descend,
    Momentum: descend,
    RmsProp: scale_by_root_mean_square,
    Adam: estimate_moments,
    AdamW: estimate_moments_decoupled,
    Adagrad: accumulate_squares,
}


@final
class NumpyOptimizer:
    """An optimizer record at work on these parameters, which it changes in place."""

    def __init__(self, record: Optimizer, parameters: Mapping[str, Array], module: Any) -> None:
        self._rule = RULES[type(record)]
        self._record = record
        self._parameters = dict(parameters)
        self._module = module
        self._states: dict[str, State] = {name: {} for name in parameters}
        sizes: dict[Any, int] = {}
        for array in parameters.values():
            sizes[array.dtype] = max(sizes.get(array.dtype, 0), array.size)
        self._scratch = {dtype: (module.empty(size, dtype), module.empty(size, dtype)) for dtype, size in sizes.items()}

    def step(self, gradients: Mapping[str, Array], iteration: int, total: int, scale: float = 1.0, bound: float | None = None) -> None:
        """Update what has a gradient, with the settings of an iteration; gradients are multiplied by `scale`, then cut to ±`bound`."""
        settings = self._record.settings(iteration, total)
        decay: Any = 0 if type(self._record) is AdamW else settings["weight_decay"]
        for name, gradient in gradients.items():
            w = self._parameters[name]
            first, second = (scratch[: w.size].reshape(w.shape) for scratch in self._scratch[w.dtype])
            g = gradient
            if scale != 1:
                g = self._module.multiply(g, scale, out=first)
            if bound is not None:
                g = self._module.clip(g, -bound, bound, out=first)
            if decay != 0:
                self._module.multiply(w, decay, out=second)
                g = self._module.add(g, second, out=first)
            self._rule(Place(w, g, self._states[name], first, second, self._module), settings)

    def read_state(self) -> dict[str, Array]:
        """The arrays of the state, called `parameter:what`."""
        return {f"{name}:{what}": value for name, state in self._states.items() for what, value in state.items()}

    def write_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `read_state` gave; ValueError where a name or a shape is another optimizer's."""
        made: dict[str, State] = {name: {} for name in self._parameters}
        for full, value in state.items():
            name, _, what = full.rpartition(":")
            if name not in made or value.shape not in (self._parameters[name].shape, ()):
                raise ValueError(f"`{full}` belongs to no parameter of this optimizer")
            made[name][what] = self._module.asarray(value)
        self._states = made
