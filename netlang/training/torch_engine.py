"""Trains with torch: autograd for exactly the weights a step updates, torch.optim for the update.

Each step has an optimizer of its own. Weights that a step does not update need no gradient while it runs, so torch keeps no tape
for them. Random numbers come from a state of the engine's own: the caller's generator is as it was between updates.
Non-goals: several devices, mixed precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from compiler.ir.graph import Call, Graph, called_networks
from compiler.ir.training import Lbfgs, Program, Schedule, Step
from netlang.training.engine import Engine, NonFinite, Placed, Update
from netlang.training.failures import failure
from netlang.training.functions import ROWS, Function, sample_graphs
from netlang.training.seeds import Purpose, derive_seed
from netlang.training.torch_functions import TorchFunctions
from netlang.training.torch_optimizers import build_optimizer, read_state, scheduled_settings, to_setting, write_state
from netlang.training.torch_tensors import find_nonfinite, from_stored, to_stored
from netlang.training.weights import Stored

if TYPE_CHECKING:
    import numpy as np
    import torch


@final
@dataclass(frozen=True, slots=True)
class _Plan:
    """A step as it runs again and again."""

    step: Step
    function: Function
    names: tuple[str, ...]
    parameters: tuple[torch.nn.Parameter, ...]
    optimizer: torch.optim.Optimizer
    schedules: Mapping[str, Schedule]
    random: bool


@final
class TorchEngine(Engine):
    """One program's networks and optimizers as torch objects on `device`."""

    backend: ClassVar[str] = "torch"

    def __init__(self, program: Program, functions: TorchFunctions, seed: int, total: int, device: str, threads: int | None) -> None:
        import torch

        self._threads_before = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self._device = open_device(device)
        self._functions = functions
        evaluated = (*program.metrics.values(), *sample_graphs(program).values())
        graphs = (*(step.graph for step in program.steps), *evaluated)
        self._types = {value.name: getattr(torch, value.type.dtype.torch_name) for graph in graphs for value in graph.inputs}
        self._modules = dict(functions.modules)
        self._seed = seed
        self._batch = self._rows(program.batch)
        self._random = self._seeded(Purpose.TRAINING)
        self._training_random: dict[str, torch.Tensor] = {}
        self._evaluation_random = program.draws is not None or any(map(draws_numbers, evaluated))
        trained = {name for step in program.steps for name in step.update}
        self._trained = [module for name, module in self._modules.items() if name in trained]
        for name, module in self._modules.items():
            module.to(self._device).requires_grad_(False).train(name in trained)
        self._plans = [self._plan(step, function, total) for step, function in zip(program.steps, functions.steps, strict=True)]
        self._active: _Plan | None = None

    def _plan(self, step: Step, function: Function, total: int) -> _Plan:
        found = [
            (f"{network}.{key}", parameter)
            for network in step.update
            for key, parameter in self._modules[network].named_parameters()
        ]  # fmt: skip
        names, parameters = tuple(name for name, _ in found), tuple(parameter for _, parameter in found)
        optimizer = build_optimizer(step.optimizer, parameters, total)
        networks = called_networks(step.graph)
        random = draws_numbers(step.graph) or any(draws_numbers(graph) for graph in networks.values())
        return _Plan(step, function, names, parameters, optimizer, scheduled_settings(step.optimizer), random)

    def place(self, arrays: Mapping[str, Any]) -> Placed:
        import torch

        tensors = ((name, torch.from_numpy(array)) for name, array in arrays.items())
        return {name: tensor.to(self._device, self._types.get(name, tensor.dtype)) for name, tensor in tensors}

    def draw(self, rows: int) -> Placed:
        draw = self._functions.draw
        if draw is None:
            return {}
        with self._drawing():
            return dict(draw({ROWS: self._rows(rows)}))

    def _rows(self, count: int) -> torch.Tensor:
        """What tells functions that read no data how many rows to draw."""
        import torch

        return torch.empty(count, dtype=torch.uint8, device=self._device)

    def update(self, index: int, inputs: Placed, iteration: int, total: int) -> Update:
        import torch

        plan = self._plans[index]
        self._focus(plan)
        inputs.setdefault(ROWS, self._batch)
        if isinstance(plan.step.optimizer, Lbfgs):
            return self._minimize(plan, inputs, iteration, total)
        before = dict(self._random) if plan.random else {}
        if plan.random:
            with self._drawing():
                objective = plan.function(inputs)
        else:
            objective = plan.function(inputs)
        value = objective.item()
        if not math.isfinite(value):
            raise NonFinite("objective", self._locate(plan, inputs, before))
        signed = objective if plan.step.sense == "minimize" else -objective
        gradients = torch.autograd.grad(signed, plan.parameters, allow_unused=True)
        norm = self._require_finite_gradients(plan, gradients)
        self._apply(plan, gradients, norm, iteration, total)
        return Update(value, float(plan.optimizer.param_groups[0]["lr"]), norm.item())

    def _minimize(self, plan: _Plan, inputs: Placed, iteration: int, total: int) -> Update:
        """An update that evaluates the objective again and again, with the same draws each time."""
        import torch

        step, before = plan.step, dict(self._random)
        kept = [parameter.detach().clone() for parameter in plan.parameters]
        seen: list[Update] = []

        def evaluate() -> torch.Tensor:
            self._random = dict(before)
            with self._drawing():
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

    def _focus(self, plan: _Plan) -> None:
        """Make exactly the plan's weights those that need gradients."""
        if self._active is plan:
            return
        for parameter in self._active.parameters if self._active is not None else ():
            parameter.requires_grad_(False)
        for parameter in plan.parameters:
            parameter.requires_grad_(True)
        self._active = plan

    def _require_finite_gradients(self, plan: _Plan, gradients: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """The norm over all gradients; it may itself overflow where each number is finite."""
        import torch

        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        if not math.isfinite(norm.item()):
            bad = find_nonfinite(zip(plan.names, gradients, strict=True))
            if bad is not None:
                raise NonFinite("gradient", (bad,))
        return norm

    def _apply(self, plan: _Plan, gradients: Sequence[torch.Tensor | None], norm: torch.Tensor, iteration: int, total: int) -> None:
        self._set_gradients(plan, gradients, norm)
        for name, schedule in plan.schedules.items():
            plan.optimizer.param_groups[0][name] = to_setting(schedule.at(iteration, total))
        plan.optimizer.step()
        self._end_update(plan)

    def _set_gradients(self, plan: _Plan, gradients: Sequence[torch.Tensor | None], norm: torch.Tensor) -> None:
        """Hand the gradients, clipped, to the optimizer."""
        import torch

        for parameter, gradient in zip(plan.parameters, gradients, strict=True):
            parameter.grad = gradient
        if plan.step.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(plan.parameters, plan.step.clip_norm, norm)
        if plan.step.clip_value is not None:
            torch.nn.utils.clip_grad_value_(plan.parameters, plan.step.clip_value)

    def _end_update(self, plan: _Plan) -> None:
        import torch

        for parameter in plan.parameters:
            parameter.grad = None
        if plan.step.clamp is not None:
            with torch.no_grad():
                for parameter in plan.parameters:
                    parameter.clamp_(-plan.step.clamp, plan.step.clamp)

    def _locate(self, plan: _Plan, inputs: Placed, before: dict[str, torch.Tensor]) -> tuple[str, ...]:
        """The first layer with a result that is not finite: the step is run once more, with the same draws, to look."""
        import torch

        found: list[str] = []

        def look(name: str) -> Any:
            def hook(_module: torch.nn.Module, _arguments: object, result: object) -> None:
                if not found and isinstance(result, torch.Tensor) and find_nonfinite([(name, result)]) is not None:
                    found.append(name)

            return hook

        names = [(f"{network}.{key}", part) for network, module in self._modules.items() for key, part in module.named_modules() if key]
        hooks = [part.register_forward_hook(look(name)) for name, part in names if not any(part.children())]
        try:
            self._random = before or self._random
            with self._drawing():
                plan.function(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(found)

    def begin_evaluation(self) -> None:
        for module in self._trained:
            module.eval()
        if self._evaluation_random:
            self._training_random, self._random = self._random, self._seeded(Purpose.EVALUATION)

    def measure(self, inputs: Placed, rows: int) -> dict[str, float]:
        with self._evaluating(inputs, rows) as given:
            return {name: function(given).item() for name, function in self._functions.metrics.items()}

    def compute(self, name: str, inputs: Placed, rows: int) -> dict[str, np.ndarray]:
        with self._evaluating(inputs, rows) as given:
            return {key: value.cpu().numpy().copy() for key, value in self._functions.samples[name](given).items()}

    @contextmanager
    def _evaluating(self, inputs: Placed, rows: int) -> Iterator[Placed]:
        """Inside, functions may draw and keep no tape; what they are given, with the program's draws."""
        import torch

        with torch.inference_mode():
            given = inputs | self.draw(rows) | {ROWS: self._rows(rows)}
            with self._drawing() if self._evaluation_random else nullcontext():
                yield given

    def end_evaluation(self) -> None:
        for module in self._trained:
            module.train()
        if self._evaluation_random:
            self._random = self._training_random

    def weights(self) -> dict[str, dict[str, Stored]]:
        return {name: {key: to_stored(value) for key, value in module.state_dict().items()} for name, module in self._modules.items()}

    def optimizers(self) -> dict[str, Stored]:
        return {name: to_stored(value) for name, value in self._optimizer_tensors()}

    def _optimizer_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for index, plan in enumerate(self._plans):
            for name, value in read_state(plan.optimizer, plan.names, plan.parameters).items():
                yield f"{index}:{name}", value

    def random_states(self) -> dict[str, Stored]:
        return {name: to_stored(value) for name, value in self._random.items()}

    def load_weights(self, weights: Mapping[str, Mapping[str, Stored]]) -> None:
        import torch

        with torch.no_grad():
            for name, stored in weights.items():
                own = self._modules[name].state_dict()
                for key, value in stored.items():
                    own[key].copy_(from_stored(value))

    def load_state(self, optimizers: Mapping[str, Stored], random_states: Mapping[str, Stored]) -> None:
        states: list[dict[str, torch.Tensor]] = [{} for _ in self._plans]
        for full, value in optimizers.items():
            index, _, name = full.partition(":")
            if not index.isdecimal() or int(index) >= len(states):
                raise ValueError(f"`{full}` belongs to no step")
            states[int(index)][name] = from_stored(value)
        for plan, state in zip(self._plans, states, strict=True):
            write_state(plan.optimizer, plan.names, plan.parameters, state)
        if random_states.keys() != self._random.keys():
            raise ValueError(f"random states of {sorted(random_states)}, wanted {sorted(self._random)}")
        self._random = {name: from_stored(value) for name, value in random_states.items()}

    def require_finite(self) -> None:
        tensors = ((f"{name}.{key}", value) for name, module in self._modules.items() for key, value in module.state_dict().items())
        if (bad := find_nonfinite(tensors)) is not None:
            raise NonFinite("weight", (bad,))
        if (bad := find_nonfinite(self._optimizer_tensors())) is not None:
            raise NonFinite("optimizer state", (bad.partition(":")[2],))

    def close(self) -> None:
        import torch

        torch.set_num_threads(self._threads_before)

    def _seeded(self, purpose: Purpose) -> dict[str, torch.Tensor]:
        """States of generators freshly seeded for a purpose."""
        import torch

        seed = derive_seed(self._seed, purpose)
        states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.Generator(self._device).manual_seed(seed).get_state()
        return states

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Inside, torch's global generators are the engine's; afterwards they are the caller's again."""
        import torch

        cuda = self._device if self._device.type == "cuda" else None
        outer, outer_cuda = torch.get_rng_state(), None if cuda is None else torch.cuda.get_rng_state(cuda)
        torch.set_rng_state(self._random["cpu"])
        if cuda is not None:
            torch.cuda.set_rng_state(self._random["cuda"], cuda)
        try:
            yield
        finally:
            self._random = {"cpu": torch.get_rng_state()}
            torch.set_rng_state(outer)
            if cuda is not None and outer_cuda is not None:
                self._random["cuda"] = torch.cuda.get_rng_state(cuda)
                torch.cuda.set_rng_state(outer_cuda, cuda)


def open_device(name: str) -> torch.device:
    """The device; SpecError NL722 where torch has none of that name."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise failure(
            "NL722", f"there is no device `{name[:100]}` here", help=f"known: {', '.join(f'`{item}`' for item in known)}"
        ) from None
    return device


def draws_numbers(graph: Graph) -> bool:
    """Whether a graph, or one that it calls, draws random numbers."""
    pending: list[Graph] = [graph]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if any(node.op.random for node in current.nodes):
            return True
        pending.extend(inner_graphs(current))
    return False


def inner_graphs(graph: Graph) -> Iterable[Graph]:
    return (node.op.graph for node in graph.nodes if isinstance(node.op, Call))
