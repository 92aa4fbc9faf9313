"""Steps of a program as functions that update: freeze, objective, gradients, optimizer, bounds, averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from compiler.backends.names import docstring, identifier
from compiler.backends.pieces import Line
from compiler.emit.train_bodies import BATCH, INDENT, Body, TrainText, lines_text
from compiler.ir.graph import Graph, Value, called_networks
from compiler.ir.training import Lbfgs, Program, Step
from compiler.passes.program_facts import leads_to
from compiler.passes.program_plan import ProgramPlan, network_modes
from compiler.passes.program_split import split_untaped
from compiler.passes.share import draws_in


@final
@dataclass(frozen=True, slots=True)
class Update:
    """A printed update: its function, the networks and inputs it takes, and whether it takes the iteration and the averages."""

    name: str
    text: str
    networks: tuple[str, ...]
    inputs: tuple[str, ...]
    iteration: bool
    averages: bool


def print_update(text: TrainText, program: Program, plan: ProgramPlan, index: int, schedules: Mapping[str, str]) -> Update:
    """The function of a step; `schedules` are the functions of its optimizer's settings that change."""
    step, graph = program.steps[index], plan.steps[index]
    networks = tuple(dict.fromkeys([*step.update, *called_networks(graph)]))
    names = text.names("optimizer", "iteration", "averages", "loss", "objective", "state", "closure", "parameter", "network", BATCH)
    inputs = {value: names.claim(value.name) for value in graph.inputs}
    name = text.file.claim(f"update_{identifier(step.name)}")
    listed = [f"{item}: nn.Module" for item in text.variables(networks)]
    listed += ["optimizer: torch.optim.Optimizer", *(f"{item}: torch.Tensor" for item in inputs.values())]
    listed += ["iteration: int"] * bool(schedules)
    listed += ["averages: dict[nn.Parameter, torch.Tensor]"] * (step.ema is not None)
    body = Body(text, inputs, names, BATCH)
    doc = f"Update {join_words(text.variables(step.update))}: {step.sense} {step.objective}"
    printer = _Update(text, program, plan, step, graph, schedules)
    lines = printer.print(body)
    printed = lines_text([Line(0, (f"def {name}({', '.join(listed)}) -> float:",), body.note())])
    whole = "\n".join([*printed, *docstring(doc, 1), *lines_text(body.head(1)), *lines])
    return Update(name, whole, networks, tuple(value.name for value in graph.inputs), bool(schedules), step.ema is not None)


@final
class _Update:
    """The statements of one update."""

    def __init__(
        self, text: TrainText, program: Program, plan: ProgramPlan, step: Step, graph: Graph, schedules: Mapping[str, str]
    ) -> None:
        self._text = text
        self._plan = plan
        self._step = step
        self._graph = graph
        self._schedules = schedules
        self._modes = network_modes(program, step)
        self._usual = network_modes(program, None)
        self._result = "loss" if step.sense == "minimize" else "objective"

    def print(self, body: Body) -> list[str]:
        first, second = split_untaped(self._graph, self._step, self._plan, self._text.trained, self._modes)
        lines: list[str] = []
        values: dict[Value, str] = {}
        if first is not None:
            made, codes = body.print(first, 2)
            values = {value: codes[name] for name, value in first.outputs.items()}
            lines += [f"{INDENT}with torch.no_grad():", *lines_text(made)]
        frozen = [name for name in called_networks(second) if name in self._text.trained and name not in self._step.update]
        switch_on, switch_off = (requires_grad(self._text.variables(frozen), wanted) for wanted in (False, True))
        changed = mode_lines(self._text, self._modes, self._usual, [*called_networks(self._graph)])
        if isinstance(self._step.optimizer, Lbfgs):
            lines += [*switch_on, *self._minimize(body, second, values), *switch_off, *self._bounds()]
        else:
            lines += [*switch_on, *self._objective(body, second, values, 1), *self._gradients(1), *switch_off]
            lines += [*self._set_schedules(), f"{INDENT}optimizer.step()", *self._bounds()]
        before, after = ([f"{INDENT}{line}" for line in part] for part in changed)
        return [*before, *lines, *after, f"{INDENT}return {self._result}.item()"]

    def _objective(self, body: Body, graph: Graph, values: Mapping[Value, str], depth: int) -> list[str]:
        lines, codes = body.print(graph, depth, values)
        return lines_text([*lines, Line(depth, (f"{self._result} = {codes['']}",))])

    def _gradients(self, depth: int) -> list[str]:
        step = self._step
        sources = [item for item in self._plan.shared if leads_to(item, step.update) and self._reads(item.names)]
        others = {name for item in sources for name in item.networks} & self._text.trained - set(step.update)
        only = f"inputs={self._parameters(plain=True)}" if others else ""
        signed = self._result if step.sense == "minimize" else "(-objective)"
        lines = ["optimizer.zero_grad()", f"{signed}.backward({only})"]
        if step.clip_norm is not None:
            lines.append(f"torch.nn.utils.clip_grad_norm_({self._parameters()}, {step.clip_norm})")
        if step.clip_value is not None:
            lines.append(f"torch.nn.utils.clip_grad_value_({self._parameters()}, {step.clip_value})")
        return [INDENT * depth + line for line in lines]

    def _reads(self, names: tuple[str, ...]) -> bool:
        return any(value.name in names for value in self._graph.inputs)

    def _parameters(self, *, plain: bool = False) -> str:
        """What the step updates; `plain` wants a list."""
        each = [f"{name}.parameters()" for name in self._text.variables(self._step.update)]
        if len(each) > 1:
            return f"[{', '.join(f'*{item}' for item in each)}]"
        return f"list({each[0]})" if plain else each[0]

    def _set_schedules(self) -> list[str]:
        return [f'{INDENT}optimizer.param_groups[0]["{name}"] = {function}(iteration)' for name, function in self._schedules.items()]

    def _bounds(self) -> list[str]:
        """What follows an update: clamped weights, averages."""
        lines: list[str] = []
        if self._step.clamp is not None:
            lines.append(f"parameter.clamp_({-self._step.clamp}, {self._step.clamp})")
        if self._step.ema is not None:
            lines.append(f"averages[parameter].lerp_(parameter, 1 - {self._step.ema})")
        if not lines:
            return []
        head = [f"{INDENT}with torch.no_grad():", f"{INDENT * 2}for parameter in {self._parameters()}:"]
        return [*head, *(INDENT * 3 + line for line in lines)]

    def _minimize(self, body: Body, graph: Graph, values: Mapping[Value, str]) -> list[str]:
        """An update by an optimizer that evaluates the objective again and again, with the same draws each time."""
        draws = draws_in(graph, self._modes)
        lines = [f"{INDENT}{line}" for line in (["state = torch.get_rng_state()"] if draws else [])]
        lines += self._set_schedules()
        lines += ["", f"{INDENT}def closure() -> torch.Tensor:"]
        lines += [f"{INDENT * 2}torch.set_rng_state(state)"] * draws
        lines += self._objective(body, graph, values, 2)
        lines += self._gradients(2)
        returned = "loss" if self._step.sense == "minimize" else "-objective"
        result, self._result = self._result, "loss"
        first = "optimizer.step(closure)" if result == "loss" else "-optimizer.step(closure)"
        return [*lines, f"{INDENT * 2}return {returned}", "", f"{INDENT}loss = {first}"]


def requires_grad(variables: list[str], wanted: bool) -> list[str]:
    """What makes the weights of networks need gradients, or none."""
    if len(variables) < 2:
        return [f"{INDENT}{name}.requires_grad_({wanted})" for name in variables]
    return [f"{INDENT}for network in ({', '.join(variables)}):", f"{INDENT * 2}network.requires_grad_({wanted})"]


def mode_lines(text: TrainText, modes: Mapping[str, bool], usual: Mapping[str, bool], networks: list[str]) -> tuple[list[str], list[str]]:
    """What puts networks into the modes that a step wants and is not the usual, and what puts them back."""
    changed = [name for name in networks if modes.get(name, False) != usual.get(name, False)]
    switch = {True: "train", False: "eval"}
    before = [f"{text.networks[name]}.{switch[modes[name]]}()" for name in changed]
    return before, [f"{text.networks[name]}.{switch[usual.get(name, False)]}()" for name in changed]


def join_words(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
