"""Watches gradients with NumPy, or with CuPy in its place: printed steps give the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

import numpy as np

from compiler.front.checked import Checked
from compiler.passes.autodiff import DerivativeError
from compiler.passes.program_plan import training_networks
from compiler.passes.step_gradient import step_gradient
from netlang.training.engine import Placed
from netlang.training.functions import BATCH, ROWS, with_rows
from netlang.training.numpy_arrays import from_stored, open_module, to_host
from netlang.training.numpy_functions import compile_steps, lacks_gradient
from netlang.training.watch import Watch, find_watched, read_sizes
from netlang.training.weights import Stored


@final
class NumpyWatch(Watch):
    """Computes with arrays on `device`."""

    def __init__(self, checked: Checked, device: str) -> None:
        program = checked.require().program
        assert program is not None
        self._module = open_module(device)
        self._batch = program.batch
        self._watched = find_watched(program)
        made = []
        for index, item in self._watched.items():
            step = replace(program.steps[index], graph=with_rows(item.graph))
            try:
                made.append(step_gradient(step, training_networks(program, step), inputs={state.input.name for state in item.states}))
            except DerivativeError as error:
                raise lacks_gradient(error, step) from error
        self._compiled = dict(zip(self._watched, compile_steps(made, [], self._module), strict=True))
        self.steps = frozenset(self._watched)

    def measure(self, index: int, inputs: Placed, weights: Mapping[str, Mapping[str, Stored]]) -> dict[str, list[float]]:
        watched, compiled = self._watched[index], self._compiled[index]
        parameters = {
            f"{name}/{key}": self._module.asarray(from_stored(value)) for name, values in weights.items() for key, value in values.items()
        }
        sizes = {BATCH: self._batch} | read_sizes(watched.graph.inputs, inputs)
        given = {ROWS: self._module.empty(sizes[BATCH], self._module.uint8), **inputs}
        for state in watched.states:
            shape = tuple(dim.evaluate(sizes) for dim in state.input.type.shape)
            given[state.input.name] = self._module.zeros(shape, state.input.type.dtype.numpy_name)
        with np.errstate(all="ignore"):
            _, gradients, _ = compiled(parameters, given, self._module.random.default_rng(0))
        found = {}
        for state in watched.states:
            gradient = gradients.get(state.input.name, given[state.input.name])
            squares = self._module.square(gradient).reshape(*gradient.shape[:2], -1).sum(axis=2)
            norms = to_host(self._module.sqrt(squares).mean(axis=0)).tolist()
            found[state.name] = norms[::-1] if state.reverse else norms
        return found
