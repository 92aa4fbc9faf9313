"""Trains with torch: autograd for exactly the weights a step updates, torch.optim for the update.

Steps that update the same with the same settings have one optimizer. Weights that a step does not update need no gradient while it
runs, so torch keeps no tape for them; a value that steps share has a tape where one of them updates what it depends on.
Non-goals: several devices, mixed precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.front.checked import Checked
from compiler.ir.training import Lbfgs
from compiler.passes.gradients import has_gradients
from compiler.passes.program_plan import network_modes, plan_spec
from compiler.passes.share import draws_in
from netlang.training.draws import COUNT, Draws, read_count
from netlang.training.engine import Engine, NonFinite, Placed, Update
from netlang.training.functions import ROWS
from netlang.training.replay import ReplayBuffer
from netlang.training.seeds import Purpose
from netlang.training.shared_values import SharedValues
from netlang.training.torch_functions import compile_torch
from netlang.training.torch_optimizers import to_setting
from netlang.training.torch_plan import StepPlan, plan_steps, taped_parameters
from netlang.training.torch_random import TorchRandom
from netlang.training.torch_state import TorchState
from netlang.training.torch_tensors import find_nonfinite, from_stored, open_device, to_stored
from netlang.training.weights import Stored

if TYPE_CHECKING:
    import numpy as np
    import torch


@final
class TorchEngine(Engine):
    """One program's networks, `modules`, and optimizers as torch objects on `device`."""

    backend: ClassVar[str] = "torch"

    def __init__(self, checked: Checked, seed: int, total: int, device: str, threads: int | None) -> None:
        import torch

        program = checked.require().program
        assert program is not None
        self._threads_before = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self._device = open_device(device)
        self._program = program
        self._plan = plan_spec(checked)
        functions = compile_torch(checked, seed, self._plan)
        self._functions, self._others = functions.plan, functions.others
        self.modules = dict(functions.modules)
        self._types = {value.name: getattr(torch, value.type.dtype.torch_name) for graph in program.graphs for value in graph.inputs}
        self._batch = self._rows(program.batch)
        self._draws = Draws(program, self._plan, seed)
        self._random = TorchRandom(seed, self._device)
        self._training_random: dict[str, torch.Tensor] = {}
        evaluated = (*program.metrics.values(), *(item.graph for item in program.samples.values()))
        self._evaluation_random = any(draws_in(graph, {}) for graph in evaluated)
        self._metrics_derive = any(map(has_gradients, program.metrics.values()))
        trained = {name for step in program.steps for name in step.update}
        self._trained = [module for name, module in self.modules.items() if name in trained]
        for name, module in self.modules.items():
            module.to(self._device).requires_grad_(False).train(name in trained)
        self._plans = plan_steps(program, self._plan, functions, total)
        self._shared = SharedValues(self._plan, self._compute_shared)
        self._taped = [taped_parameters(self._plan, index, self._plans) for index in range(len(self._plan.shared))]
        self._shared_random = [draws_in(item.graph, network_modes(program, None)) for item in self._plan.shared]
        self._active: tuple[torch.nn.Parameter, ...] = ()
        self._carried: Placed = {}
        sizes = {name: size for item in self._plan.replayed if item is not None for name, size in item.sizes.items()}
        self._buffers = {name: ReplayBuffer(size, seed, number, torch.clone) for number, (name, size) in enumerate(sizes.items())}
        self._averages = {
            f"{name}.{key}": parameter.detach().clone()
            for step in program.steps if step.ema is not None
            for name in step.update
            for key, parameter in self.modules[name].named_parameters()
        }  # fmt: skip
        self._state = TorchState(self._plans, self._averages, self._buffers)

    def begin(self, fixed: Placed) -> None:
        import torch

        with torch.no_grad():
            for name, value in self._draws.begin({name: tensor.cpu().numpy() for name, tensor in fixed.items()}).items():
                self.modules[name].get_parameter("value").copy_(torch.from_numpy(value))

    def place(self, arrays: Mapping[str, Any]) -> Placed:
        import torch

        tensors = ((name, torch.from_numpy(array)) for name, array in arrays.items())
        return {name: tensor.to(self._device, self._types.get(name, tensor.dtype)) for name, tensor in tensors}

    def draw(self, rows: int) -> Placed:
        return self.place(self._draws.draw(rows))

    def _rows(self, count: int) -> torch.Tensor:
        """What tells functions that read no data how many rows to draw."""
        import torch

        return torch.empty(count, dtype=torch.uint8, device=self._device)

    def carried(self) -> Placed:
        if not self._carried:
            self._carried = self._first_states(self._program.batch)
        return dict(self._carried)

    def _first_states(self, rows: int) -> Placed:
        """The carried states of `rows` examples before anything has been read."""
        return {} if self._others.start is None else dict(self._others.start({ROWS: self._rows(rows)}))

    def restart(self) -> None:
        self._carried = {}

    def advance(self, inputs: Placed) -> None:
        import torch

        graph, function = self._plan.carry, self._functions.carry
        assert graph is not None
        assert function is not None
        self._shared.fill(graph, inputs)
        with torch.no_grad(), self._random.drawing():
            self._carried = {name: value.detach() for name, value in function(inputs).items()}

    def _compute_shared(self, index: int, inputs: Placed) -> Placed:
        """The values of a shared graph, with a tape for those weights that a step reads it for."""
        import torch

        inputs.setdefault(ROWS, self._batch)
        parameters = self._taped[index]
        active = self._active
        if parameters:
            self._focus(parameters)
        with self._random.drawing() if self._shared_random[index] else nullcontext(), torch.set_grad_enabled(bool(parameters)):
            made = self._functions.shared[index](inputs)
        self._focus(active)
        return dict(made)

    def update(self, index: int, inputs: Placed, iteration: int, total: int) -> Update:
        plan = self._plans[index]
        inputs.setdefault(ROWS, self._batch)
        for module, training in plan.modes.items():
            module.train(training)
        try:
            before = dict(self._random.states)
            given = self._prepare(index, plan, inputs)
            self._focus(plan.parameters)
            if isinstance(plan.step.optimizer, Lbfgs):
                made = self._minimize(plan, given, iteration, total)
            else:
                made = self._descend(plan, given, before, iteration, total)
        finally:
            for module in plan.modes:
                module.train(module in self._trained)
        self._shared.release(index, inputs)
        return made

    def _prepare(self, index: int, plan: StepPlan, inputs: Placed) -> Placed:
        """What the step reads: its inputs, what others share with it, what its buffers give back."""
        import torch

        inputs |= self.place(self._draws.draw_step(index, self._program.batch))
        replayed, sources = self._plan.replayed[index], self._functions.replayed[index]
        if replayed is not None and sources is not None:
            self._shared.fill(replayed.graph, inputs)
            with torch.no_grad(), self._random.drawing():
                made = sources(inputs)
            inputs |= {name: self._buffers[name].exchange(value.detach()) for name, value in made.items()}
        self._shared.fill(plan.graph, inputs)
        return {**inputs, **{name: inputs[name].detach() for name in plan.cut}} if plan.cut else inputs

    def _descend(self, plan: StepPlan, inputs: Placed, before: dict[str, torch.Tensor], iteration: int, total: int) -> Update:
        """An update by the gradients of one evaluation."""
        import torch

        with self._random.drawing() if plan.random else nullcontext():
            objective = plan.function(inputs)
        value = objective.item()
        if not math.isfinite(value):
            raise NonFinite("objective", self._locate(plan, inputs, before))
        signed = objective if plan.step.sense == "minimize" else -objective
        gradients = torch.autograd.grad(signed, plan.parameters, allow_unused=True)
        norm = self._require_finite_gradients(plan, gradients)
        self._apply(plan, gradients, norm, iteration, total)
        return Update(value, float(plan.optimizer.param_groups[0]["lr"]), norm.item())

    def _minimize(self, plan: StepPlan, inputs: Placed, iteration: int, total: int) -> Update:
        """An update that evaluates the objective again and again, with the same draws each time."""
        import torch

        step, before = plan.step, dict(self._random.states)
        kept = [parameter.detach().clone() for parameter in plan.parameters]
        seen: list[Update] = []

        def evaluate() -> torch.Tensor:
            self._random.states = dict(before)
            with self._random.drawing():
                objective = plan.function(inputs)
            value = objective.item()
            if not math.isfinite(value):
                raise NonFinite("objective", self._locate(plan, inputs, before))
            signed: torch.Tensor = objective if step.sense == "minimize" else -objective
            gradients = torch.autograd.grad(signed, plan.parameters, allow_unused=True)
            norm = self._require_finite_gradients(plan, gradients)
            self._set_gradients(plan, gradients, norm)
            seen.append(Update(value, float(plan.optimizer.param_groups[0]["lr"]), norm.item()))
            return signed.detach()

        for name, schedule in plan.schedules.items():
            plan.optimizer.param_groups[0][name] = to_setting(schedule.at(iteration, total))
        try:
            plan.optimizer.step(evaluate)  # type: ignore[arg-type]
        except NonFinite:
            with torch.no_grad():
                for parameter, value in zip(plan.parameters, kept, strict=True):
                    parameter.copy_(value)
            raise
        self._end_update(plan)
        return seen[0]

    def _focus(self, parameters: tuple[torch.nn.Parameter, ...]) -> None:
        """Make exactly these weights those that need gradients."""
        if self._active is parameters:
            return
        for parameter in self._active:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        self._active = parameters

    def _require_finite_gradients(self, plan: StepPlan, gradients: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """The norm over all gradients; it may itself overflow where each number is finite."""
        import torch

        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        if not math.isfinite(norm.item()):
            bad = find_nonfinite(zip(plan.names, gradients, strict=True))
            if bad is not None:
                raise NonFinite("gradient", (bad,))
        return norm

    def _apply(self, plan: StepPlan, gradients: Sequence[torch.Tensor | None], norm: torch.Tensor, iteration: int, total: int) -> None:
        self._set_gradients(plan, gradients, norm)
        for name, schedule in plan.schedules.items():
            plan.optimizer.param_groups[0][name] = to_setting(schedule.at(iteration, total))
        plan.optimizer.step()
        self._end_update(plan)

    def _set_gradients(self, plan: StepPlan, gradients: Sequence[torch.Tensor | None], norm: torch.Tensor) -> None:
        """Hand the gradients, clipped, to the optimizer."""
        import torch

        for parameter, gradient in zip(plan.parameters, gradients, strict=True):
            parameter.grad = gradient
        if plan.step.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(plan.parameters, plan.step.clip_norm, norm)
        if plan.step.clip_value is not None:
            torch.nn.utils.clip_grad_value_(plan.parameters, plan.step.clip_value)

    def _end_update(self, plan: StepPlan) -> None:
        import torch

        for parameter in plan.parameters:
            parameter.grad = None
        if plan.step.clamp is not None:
            with torch.no_grad():
                for parameter in plan.parameters:
                    parameter.clamp_(-plan.step.clamp, plan.step.clamp)
        if plan.step.ema is not None:
            with torch.no_grad():
                for name, parameter in zip(plan.names, plan.parameters, strict=True):
                    self._averages[name].lerp_(parameter, 1 - plan.step.ema)

    def _locate(self, plan: StepPlan, inputs: Placed, before: dict[str, torch.Tensor]) -> tuple[str, ...]:
        """The first layer with a result that is not finite: the step is run once more, with the same draws, to look."""
        import torch

        found: list[str] = []

        def look(name: str) -> Any:
            def hook(_module: torch.nn.Module, _arguments: object, result: object) -> None:
                if not found and isinstance(result, torch.Tensor) and find_nonfinite([(name, result)]) is not None:
                    found.append(name)

            return hook

        names = [(f"{network}.{key}", part) for network, module in self.modules.items() for key, part in module.named_modules() if key]
        hooks = [part.register_forward_hook(look(name)) for name, part in names if not any(part.children())]
        try:
            self._random.states = before
            with self._random.drawing():
                plan.function(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(found)

    def begin_evaluation(self) -> None:
        for module in self._trained:
            module.eval()
        self._exchange_averages()
        self._draws.begin_evaluation()
        if self._evaluation_random:
            self._training_random, self._random.states = self._random.states, self._random.seeded(Purpose.EVALUATION)

    def measure(self, inputs: Placed, rows: int) -> dict[str, float]:
        with self._evaluating(inputs, rows, gradients=self._metrics_derive) as given:
            return {name: function(given).item() for name, function in self._others.metrics.items()}

    def compute(self, name: str, inputs: Placed, rows: int) -> dict[str, np.ndarray]:
        with self._evaluating(inputs, rows) as given:
            return {key: value.cpu().numpy().copy() for key, value in self._others.samples[name](given).items()}

    @contextmanager
    def _evaluating(self, inputs: Placed, rows: int, *, gradients: bool = False) -> Iterator[Placed]:
        """Inside, functions may draw and keep no tape unless they take gradients; what they are given, with the program's draws."""
        import torch

        with torch.enable_grad() if gradients else torch.inference_mode():
            given = self._first_states(rows) | inputs | self.draw(rows) | {ROWS: self._rows(rows)}
            with self._random.drawing() if self._evaluation_random else nullcontext():
                yield given

    def end_evaluation(self) -> None:
        self._exchange_averages()
        self._draws.end_evaluation()
        for module in self._trained:
            module.train()
        if self._evaluation_random:
            self._random.states = self._training_random

    def _exchange_averages(self) -> None:
        """Put averaged weights in place of those they are averages of, or back."""
        import torch

        with torch.no_grad():
            for name, average in self._averages.items():
                network, _, key = name.partition(".")
                parameter = self.modules[network].get_parameter(key)
                kept = parameter.clone()
                parameter.copy_(average)
                average.copy_(kept)

    def weights(self) -> dict[str, dict[str, Stored]]:
        return {name: {key: to_stored(value) for key, value in module.state_dict().items()} for name, module in self.modules.items()}

    def optimizers(self) -> dict[str, Stored]:
        return {name: to_stored(value) for name, value in self._state.read(self._carried)}

    def random_states(self) -> dict[str, Stored]:
        import torch

        states = self._random.states | {COUNT: torch.tensor(self._draws.count)}
        return {name: to_stored(value) for name, value in states.items()}

    def load_weights(self, weights: Mapping[str, Mapping[str, Stored]]) -> None:
        import torch

        with torch.no_grad():
            for name, stored in weights.items():
                own = self.modules[name].state_dict()
                for key, value in stored.items():
                    own[key].copy_(from_stored(value))

    def load_state(self, optimizers: Mapping[str, Stored], random_states: Mapping[str, Stored]) -> None:
        self._carried = self._state.write({name: from_stored(value) for name, value in optimizers.items()})
        states = {name: from_stored(value) for name, value in random_states.items()}
        self._draws.count = read_count(states.pop(COUNT, None))
        self._random.write(states)
        self._shared.forget()

    def require_finite(self) -> None:
        tensors = ((f"{name}.{key}", value) for name, module in self.modules.items() for key, value in module.state_dict().items())
        if (bad := find_nonfinite(tensors)) is not None:
            raise NonFinite("weight", (bad,))
        if (bad := find_nonfinite(self._state.read(self._carried))) is not None:
            raise NonFinite("optimizer state", (bad.partition(":")[2],))

    def close(self) -> None:
        import torch

        torch.set_num_threads(self._threads_before)
