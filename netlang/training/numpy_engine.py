"""Trains with NumPy alone, or with CuPy in its place: printed steps give gradients, `numpy_optimizers` update in place.

Every evaluation that draws has a generator of its own, PCG64 (CuPy: its default) seeded with the run's seed, the purpose and a count, so
the count is the whole random state. Non-goals: several devices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from compiler.front.checked import Checked
from compiler.ir.graph import called_networks, owned_parameters
from compiler.ir.training import Lbfgs, Step
from compiler.ir.types import DType
from netlang.training.blas import read_threads, set_threads
from netlang.training.engine import Engine, NonFinite, Placed, Update
from netlang.training.functions import ROWS, sample_graphs, with_rows
from netlang.training.numpy_arrays import find_nonfinite, from_stored, open_module, to_host, to_stored, total_norm
from netlang.training.numpy_functions import CompiledStep, compile_numpy, compile_steps, trained_networks
from netlang.training.numpy_lbfgs import NumpyLbfgs
from netlang.training.numpy_optimizers import NumpyOptimizer
from netlang.training.seeds import Purpose, derive_seed
from netlang.training.torch_engine import draws_numbers
from netlang.training.weights import Stored

COUNT = "draws"


@final
@dataclass(slots=True, eq=False)
class _Plan:
    """A step as it runs again and again; `shared` are gradients that share memory with a parameter, known after its first run."""

    step: Step
    compiled: CompiledStep
    optimizer: NumpyOptimizer | NumpyLbfgs
    parameters: dict[str, Any]
    shared: frozenset[str] | None = None


@final
class NumpyEngine(Engine):
    """One program's networks and optimizers as arrays on `device`."""

    backend: ClassVar[str] = "numpy"

    def __init__(self, checked: Checked, seed: int, total: int, device: str, threads: int | None) -> None:
        program = checked.require().program
        assert program is not None
        self._module = open_module(device)
        self._threads_before = read_threads()
        if threads is not None:
            set_threads(threads)
        self.threads = read_threads()
        self._functions = compile_numpy(checked, seed, self._module)
        self._parameters = self._functions.parameters
        self._flat = {f"{name}/{key}": array for name, arrays in self._parameters.items() for key, array in arrays.items()}
        self._trained = trained_networks(program.steps)
        self._types = _input_types(checked)
        self._batch = self._rows(program.batch)
        self._seed, self._purpose, self._count, self._training_count = seed, Purpose.TRAINING, 0, 0
        graphs = (*program.metrics.values(), *sample_graphs(program).values())
        inner = [network for graph in graphs for network in called_networks(graph).values()]
        self._evaluation_random = program.draws is not None or any(map(draws_numbers, (*graphs, *inner)))
        trainable = _trainable(checked)
        self._plans = []
        for step, compiled in zip(program.steps, self._functions.steps, strict=True):
            owned = {key: self._flat[key] for key in trainable if key.partition("/")[0] in step.update}
            record = step.optimizer
            made = NumpyLbfgs(record, owned, self._module) if isinstance(record, Lbfgs) else NumpyOptimizer(record, owned, self._module)
            self._plans.append(_Plan(step, compiled, made, owned))

    def place(self, arrays: Mapping[str, Any]) -> Placed:
        return {name: self._module.asarray(array, dtype=self._types.get(name, array.dtype)) for name, array in arrays.items()}

    def draw(self, rows: int) -> Placed:
        draw = self._functions.draw
        return {} if draw is None else dict(draw({ROWS: self._rows(rows)}, generator=self._next_generator()))

    def _rows(self, count: int) -> Any:
        """What tells functions that read no data how many rows to draw."""
        return self._module.empty(count, self._module.uint8)

    def _next_generator(self) -> Any:
        self._count += 1
        return self._generator(self._count)

    def _generator(self, count: int) -> Any:
        seed = derive_seed(self._seed, self._purpose)
        return self._module.random.default_rng([seed, count] if self._module is np else (seed + count) % 2**64)

    def update(self, index: int, inputs: Placed, iteration: int, total: int) -> Update:
        plan = self._plans[index]
        inputs.setdefault(ROWS, self._batch)
        step = plan.step
        with np.errstate(all="ignore"):
            if isinstance(plan.optimizer, NumpyLbfgs):
                value, norm = self._minimize(plan, plan.optimizer, inputs, iteration, total)
            else:
                value, norm, gradients, buffers = self._evaluate(plan, inputs)
                plan.optimizer.step(gradients, iteration, total, clip_scale(step, norm), step.clip_value)
                self._write(buffers)
            if step.clamp is not None:
                for array in plan.parameters.values():
                    self._module.clip(array, -step.clamp, step.clamp, out=array)
        self._count += plan.compiled.draws
        return Update(value, float(step.optimizer.settings(iteration, total)["lr"]), norm)

    def _evaluate(self, plan: _Plan, inputs: Placed) -> tuple[float, float, Mapping[str, Any], Mapping[str, Any]]:
        """Objective, norm of the gradients, gradients that no update changes, new buffers; raises NonFinite."""
        generator = self._generator(self._count + 1) if plan.compiled.draws else None
        objective, gradients, buffers = plan.compiled(self._flat, inputs, generator)
        value = float(objective)
        if not math.isfinite(value):
            raise NonFinite("objective", self._locate(plan, inputs))
        norm = total_norm(gradients.values())
        if not math.isfinite(norm) and (bad := find_nonfinite(gradients)) is not None:
            raise NonFinite("gradient", (bad.replace("/", "."),))
        if plan.shared is None:
            plan.shared = self._find_shared(gradients)
        if plan.shared:
            gradients = {key: value.copy() if key in plan.shared else value for key, value in gradients.items()}
        return value, norm, gradients, buffers

    def _minimize(self, plan: _Plan, optimizer: NumpyLbfgs, inputs: Placed, iteration: int, total: int) -> tuple[float, float]:
        """An update that evaluates the objective again and again, with the same draws each time; objective and norm at its start."""
        kept = {key: array.copy() for key, array in self._flat.items()}
        seen: list[tuple[float, float]] = []
        sign = 1 if plan.step.sense == "minimize" else -1

        def compute() -> tuple[float, Mapping[str, Any]]:
            value, norm, gradients, buffers = self._evaluate(plan, inputs)
            self._write(buffers)
            seen.append((value, norm))
            scale, bound = clip_scale(plan.step, norm), plan.step.clip_value
            gradients = {key: gradient * scale for key, gradient in gradients.items()}
            if bound is not None:
                gradients = {key: self._module.clip(gradient, -bound, bound) for key, gradient in gradients.items()}
            return sign * value, gradients

        try:
            optimizer.step(compute, iteration, total)
        except NonFinite:
            self._write(kept)
            raise
        return seen[0]

    def _write(self, arrays: Mapping[str, Any]) -> None:
        for key, value in arrays.items():
            self._flat[key][...] = value

    def _find_shared(self, gradients: Mapping[str, Any]) -> frozenset[str]:
        arrays = list(self._flat.values())
        shares = self._module.may_share_memory
        return frozenset(key for key, gradient in gradients.items() if any(shares(gradient, array) for array in arrays))

    def _locate(self, plan: _Plan, inputs: Placed) -> tuple[str, ...]:
        """The first entry with a value that is not finite: the step is run once more, with the same draws, to look."""
        (look,) = compile_steps([replace(plan.step, graph=with_rows(plan.step.graph))], self._trained, self._module, entries=True)
        _, _, entries = look(self._flat, inputs, self._generator(self._count + 1))
        found = find_nonfinite(entries)
        return () if found is None else (found,)

    def begin_evaluation(self) -> None:
        self._training_count, self._purpose, self._count = self._count, Purpose.EVALUATION, 0

    def measure(self, inputs: Placed, rows: int) -> dict[str, float]:
        given = inputs | self.draw(rows) | {ROWS: self._rows(rows)}
        with np.errstate(all="ignore"):
            return {
                name: float(function(given, generator=self._evaluation_generator())) for name, function in self._functions.metrics.items()
            }

    def compute(self, name: str, inputs: Placed, rows: int) -> dict[str, np.ndarray]:
        given = inputs | self.draw(rows) | {ROWS: self._rows(rows)}
        with np.errstate(all="ignore"):
            results = self._functions.samples[name](given, generator=self._evaluation_generator())
        return {key: to_host(value).copy() for key, value in results.items()}

    def _evaluation_generator(self) -> Any:
        return self._next_generator() if self._evaluation_random else None

    def end_evaluation(self) -> None:
        self._purpose, self._count = Purpose.TRAINING, self._training_count

    def weights(self) -> dict[str, dict[str, Stored]]:
        return {name: {key: to_stored(array) for key, array in arrays.items()} for name, arrays in self._parameters.items()}

    def optimizers(self) -> dict[str, Stored]:
        return {name: to_stored(value) for name, value in self._optimizer_arrays().items()}

    def _optimizer_arrays(self) -> dict[str, Any]:
        return {
            f"{index}:{name.replace('/', '.', 1)}": value
            for index, plan in enumerate(self._plans)
            for name, value in plan.optimizer.read_state().items()
        }

    def random_states(self) -> dict[str, Stored]:
        return {COUNT: to_stored(np.array(self._count, np.int64))}

    def load_weights(self, weights: Mapping[str, Mapping[str, Stored]]) -> None:
        for name, stored in weights.items():
            for key, value in stored.items():
                self._parameters[name][key][...] = self._module.asarray(from_stored(value))

    def load_state(self, optimizers: Mapping[str, Stored], random_states: Mapping[str, Stored]) -> None:
        states: list[dict[str, Any]] = [{} for _ in self._plans]
        for full, value in optimizers.items():
            index, _, name = full.partition(":")
            if not index.isdecimal() or int(index) >= len(states):
                raise ValueError(f"`{full}` belongs to no step")
            states[int(index)][name.replace(".", "/", 1)] = from_stored(value)
        if random_states.keys() != {COUNT}:
            raise ValueError(f"random states of {sorted(random_states)}, wanted {COUNT}")
        for plan, state in zip(self._plans, states, strict=True):
            plan.optimizer.write_state(state)
        self._count = int(from_stored(random_states[COUNT]))

    def require_finite(self) -> None:
        if (bad := find_nonfinite(self._flat)) is not None:
            raise NonFinite("weight", (bad.replace("/", "."),))
        if (bad := find_nonfinite(self._optimizer_arrays())) is not None:
            raise NonFinite("optimizer state", (bad.partition(":")[2],))

    def close(self) -> None:
        set_threads(self._threads_before)


def clip_scale(step: Step, norm: float) -> float:
    """What gradients are multiplied by so that their norm is at most `clip_norm` (torch.nn.utils.clip_grad_norm_)."""
    return 1.0 if step.clip_norm is None else min(step.clip_norm / (norm + 1e-6), 1.0)


def _trainable(checked: Checked) -> list[str]:
    """The keys of all trained parameters, `network/parameter`."""
    return [f"{name}/{key}" for name, graph in checked.networks.items() for key, item in owned_parameters(graph) if item.trainable]


def _input_types(checked: Checked) -> dict[str, str]:
    """NumPy's name of the type of each floating-point tensor that steps and metrics read."""
    program = checked.program
    assert program is not None
    graphs = (*(step.graph for step in program.steps), *program.metrics.values(), *sample_graphs(program).values())
    return {value.name: value.type.dtype.numpy_name for graph in graphs for value in graph.inputs if value.type.dtype is not DType.bf16}
