"""Trains with NumPy alone, or with CuPy in its place: printed steps give gradients, `numpy_optimizers` update in place.

Every evaluation in which a network draws has a generator of its own, PCG64 (CuPy: its default) seeded with the run's seed, the purpose
and a count, so the count is the whole random state. Non-goals: several devices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from compiler.front.checked import Checked
from compiler.ir.graph import Graph, owned_parameters
from compiler.ir.training import Lbfgs, Step
from compiler.ir.types import DType
from compiler.passes.program_plan import plan_spec, training_networks
from compiler.passes.share import draws_in
from netlang.training.blas import read_threads, set_threads
from netlang.training.draws import COUNT, Draws, read_count
from netlang.training.engine import Engine, NonFinite, Placed, Update
from netlang.training.functions import ROWS, with_rows
from netlang.training.numpy_arrays import find_nonfinite, from_stored, open_module, to_host, to_stored, total_norm
from netlang.training.numpy_functions import CompiledStep, compile_entries, compile_numpy, flatten
from netlang.training.numpy_lbfgs import NumpyLbfgs
from netlang.training.numpy_optimizers import NumpyOptimizer
from netlang.training.numpy_state import NumpyState
from netlang.training.replay import ReplayBuffer
from netlang.training.seeds import Purpose, derive_seed
from netlang.training.shared_values import SharedValues
from netlang.training.weights import Stored

EVALUATIONS = "evaluations"


@final
@dataclass(slots=True, eq=False)
class _Plan:
    """A step as it runs again and again; `owner` is the first step with its optimizer.

    `shared` are gradients that share memory with a parameter, known after its first run.
    """

    step: Step
    graph: Graph
    compiled: CompiledStep
    optimizer: NumpyOptimizer | NumpyLbfgs
    owner: int
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
        self._program = program
        self._plan = plan_spec(checked, flatten(program))
        self._functions = compile_numpy(checked, self._plan, seed, self._module)
        self._parameters = self._functions.parameters
        self._flat = {f"{name}/{key}": array for name, arrays in self._parameters.items() for key, array in arrays.items()}
        self._draws = Draws(program, self._plan, seed)
        self._types = _input_types(checked)
        self._batch = self._rows(program.batch)
        self._seed, self._purpose, self._count, self._training_count = seed, Purpose.TRAINING, 0, 0
        evaluated = (*program.metrics.values(), *(item.graph for item in program.samples.values()))
        self._evaluation_random = any(draws_in(graph, {}) for graph in evaluated)
        trainable = _trainable(checked)
        self._plans: list[_Plan] = []
        for index, (step, compiled) in enumerate(zip(program.steps, self._functions.steps, strict=True)):
            self._plans.append(self._make_plan(index, step, compiled, [key for key in trainable if key.partition("/")[0] in step.update]))
        self._shared = SharedValues(self._plan, self._compute_shared)
        self._carried: Placed = {}
        sizes = {name: size for item in self._plan.replayed if item is not None for name, size in item.sizes.items()}
        self._buffers = {
            name: ReplayBuffer(size, seed, number, self._module.copy) for number, (name, size) in enumerate(sizes.items())
        }  # fmt: skip
        self._averages = {
            key: array.copy() for plan in self._plans if plan.step.ema is not None for key, array in plan.parameters.items()
        }  # fmt: skip
        self._state = NumpyState({plan.owner: plan.optimizer for plan in self._plans}, self._averages, self._buffers, self._module)

    def _make_plan(self, index: int, step: Step, compiled: CompiledStep, keys: list[str]) -> _Plan:
        graph = self._plan.steps[index]
        owned = {key: self._flat[key] for key in keys}
        same = [item for item in self._plans if item.step.update == step.update and item.step.optimizer == step.optimizer]
        if same:
            return _Plan(step, graph, compiled, same[0].optimizer, same[0].owner, owned)
        record = step.optimizer
        made = NumpyLbfgs(record, owned, self._module) if isinstance(record, Lbfgs) else NumpyOptimizer(record, owned, self._module)
        return _Plan(step, graph, compiled, made, index, owned)

    def begin(self, fixed: Placed) -> None:
        for name, value in self._draws.begin({name: to_host(array) for name, array in fixed.items()}).items():
            self._parameters[name]["value"][...] = self._module.asarray(value)

    def place(self, arrays: Mapping[str, Any]) -> Placed:
        return {name: self._module.asarray(array, dtype=self._types.get(name, array.dtype)) for name, array in arrays.items()}

    def draw(self, rows: int) -> Placed:
        return self.place(self._draws.draw(rows))

    def _rows(self, count: int) -> Any:
        """What tells functions that read no data how many rows to draw."""
        return self._module.empty(count, self._module.uint8)

    def _next_generator(self) -> Any:
        self._count += 1
        return self._generator(self._count)

    def _generator(self, count: int) -> Any:
        seed = derive_seed(self._seed, self._purpose)
        return self._module.random.default_rng([seed, count] if self._module is np else (seed + count) % 2**64)

    def carried(self) -> Placed:
        if not self._carried:
            self._carried = self._first_states(self._program.batch)
        return dict(self._carried)

    def _first_states(self, rows: int) -> Placed:
        """The carried states of `rows` examples before anything has been read."""
        start = self._functions.others.start
        return {} if start is None else dict(start({ROWS: self._rows(rows)}))

    def restart(self) -> None:
        self._carried = {}

    def advance(self, inputs: Placed) -> None:
        graph, compiled = self._plan.carry, self._functions.plan.carry
        assert graph is not None
        assert compiled is not None
        self._carried = self._compute_values(graph, compiled, inputs)

    def _compute_shared(self, index: int, inputs: Placed) -> Placed:
        inputs.setdefault(ROWS, self._batch)
        return self._run(self._functions.plan.shared[index], inputs)

    def _compute_values(self, graph: Graph, compiled: CompiledStep, inputs: Placed) -> Placed:
        """The values of a graph of the plan that is no step."""
        self._shared.fill(graph, inputs)
        inputs.setdefault(ROWS, self._batch)
        return self._run(compiled, inputs)

    def _run(self, compiled: CompiledStep, inputs: Placed) -> Placed:
        generator = self._next_generator() if compiled.draws else None
        with np.errstate(all="ignore"):
            values, buffers = compiled(self._flat, inputs, generator)
        self._write(buffers)
        return dict(values)

    def update(self, index: int, inputs: Placed, iteration: int, total: int) -> Update:
        plan = self._plans[index]
        inputs.setdefault(ROWS, self._batch)
        inputs |= self.place(self._draws.draw_step(index, self._program.batch))
        replayed, sources = self._plan.replayed[index], self._functions.plan.replayed[index]
        if replayed is not None and sources is not None:
            made = self._compute_values(replayed.graph, sources, inputs)
            inputs |= {name: self._buffers[name].exchange(value) for name, value in made.items()}
        self._shared.fill(plan.graph, inputs)
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
        if step.ema is not None:
            for key, array in plan.parameters.items():
                self._averages[key] += (1 - step.ema) * (array - self._averages[key])
        self._count += plan.compiled.draws
        self._shared.release(index, inputs)
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
        look = compile_entries(
            replace(plan.step, graph=with_rows(plan.step.graph)), training_networks(self._program, plan.step), self._module
        )
        if not set(look.inputs) <= inputs.keys():
            return ()
        _, _, entries = look(self._flat, inputs, self._generator(self._count + 1))
        found = find_nonfinite(entries)
        return () if found is None else (found,)

    def begin_evaluation(self) -> None:
        self._exchange_averages()
        self._draws.begin_evaluation()
        self._training_count, self._purpose, self._count = self._count, Purpose.EVALUATION, 0

    def measure(self, inputs: Placed, rows: int) -> dict[str, float]:
        given = self._first_states(rows) | inputs | self.draw(rows) | {ROWS: self._rows(rows)}
        metrics = self._functions.others.metrics
        with np.errstate(all="ignore"):
            return {name: float(function(given, generator=self._evaluation_generator())) for name, function in metrics.items()}

    def compute(self, name: str, inputs: Placed, rows: int) -> dict[str, np.ndarray]:
        given = self._first_states(rows) | inputs | self.draw(rows) | {ROWS: self._rows(rows)}
        with np.errstate(all="ignore"):
            results = self._functions.others.samples[name](given, generator=self._evaluation_generator())
        return {key: to_host(value).copy() for key, value in results.items()}

    def _evaluation_generator(self) -> Any:
        return self._next_generator() if self._evaluation_random else None

    def end_evaluation(self) -> None:
        self._exchange_averages()
        self._draws.end_evaluation()
        self._purpose, self._count = Purpose.TRAINING, self._training_count

    def _exchange_averages(self) -> None:
        """Put averaged weights in place of those they are averages of, or back."""
        for key, average in self._averages.items():
            kept = self._flat[key].copy()
            self._flat[key][...] = average
            average[...] = kept

    def weights(self) -> dict[str, dict[str, Stored]]:
        return {name: {key: to_stored(array) for key, array in arrays.items()} for name, arrays in self._parameters.items()}

    def optimizers(self) -> dict[str, Stored]:
        return {name: to_stored(value) for name, value in self._state.read(self._carried).items()}

    def random_states(self) -> dict[str, Stored]:
        return {name: to_stored(np.array(count, np.int64)) for name, count in ((COUNT, self._draws.count), (EVALUATIONS, self._count))}

    def load_weights(self, weights: Mapping[str, Mapping[str, Stored]]) -> None:
        for name, stored in weights.items():
            for key, value in stored.items():
                self._parameters[name][key][...] = self._module.asarray(from_stored(value))

    def load_state(self, optimizers: Mapping[str, Stored], random_states: Mapping[str, Stored]) -> None:
        self._carried = self._state.write({name: from_stored(value) for name, value in optimizers.items()})
        counts = {name: from_stored(value) for name, value in random_states.items()}
        self._draws.count, self._count = read_count(counts.get(COUNT)), read_count(counts.get(EVALUATIONS))
        self._shared.forget()

    def require_finite(self) -> None:
        if (bad := find_nonfinite(self._flat)) is not None:
            raise NonFinite("weight", (bad.replace("/", "."),))
        if (bad := find_nonfinite(self._state.read(self._carried))) is not None:
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
    return {
        value.name: value.type.dtype.numpy_name for graph in program.graphs for value in graph.inputs if value.type.dtype is not DType.bf16
    }
