"""`main()` of a training file: networks, optimizers, data, the loop, progress, the weights at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from compiler.emit.train_bodies import INDENT, TrainText, wrap_lines
from compiler.emit.train_evaluation import Evaluate, Evaluation
from compiler.emit.train_loop import Loop
from compiler.emit.train_settings import print_optimizer
from compiler.ir.training import Program
from compiler.passes.program_facts import owner_of
from compiler.passes.program_inputs import TRAIN


def is_by_epoch(program: Program, sources: Mapping[str, object]) -> bool:
    """Whether an epoch is a plain loop over the batches of `train`: every iteration takes one, and takes nothing else."""
    always = all(step.repeat == 1 and step.every == 1 and not step.after and step.until is None for step in program.steps)
    return program.epochs is not None and list(sources) == [TRAIN] and always


@final
@dataclass(frozen=True, slots=True)
class Main:
    """What `main()` is printed from. `sources` and `evaluation` tell arrays by their keys in the data file."""

    text: TrainText
    program: Program
    loop: Loop
    sources: Mapping[str, tuple[tuple[str, ...], int]]
    """By source: the keys of its arrays, and its number among the spec's sources."""
    fixed: Mapping[str, str]
    evaluation_keys: tuple[str, ...]
    evaluation: Evaluation
    evaluate: Evaluate | None
    optimizers: Mapping[int, Mapping[str, str]]
    """By the step that owns one: the functions of its settings that change."""
    alone: bool
    """Whether the spec has one network, whose weights are in `model.safetensors`."""
    buffers: Mapping[str, int]

    def print(self) -> str:
        """The text of the function."""
        by_epoch = is_by_epoch(self.program, self.sources)
        before = [*self._networks(), *self._optimizers(), *self._data(by_epoch), *self._start()]
        constants = self.loop.constants()
        inner = self.loop.iteration()
        body = self._epochs(inner) if by_epoch else self._iterations(inner)
        lines = ['"""Train from the weights in this folder; the trained ones are written to its folder `trained`."""']
        lines += ['if DEVICE != "cpu":', f"{INDENT}torch.set_default_device(DEVICE)"]
        lines += [*before, *constants, "losses: dict[str, float] = {}", *body, *self._save()]
        return "\n".join(wrap_lines(["def main() -> None:", *(INDENT + line for line in lines)]))

    def _networks(self) -> list[str]:
        lines = []
        for name, variable in self.text.networks.items():
            made = "load()" if self.alone else f'load("{name}")'
            lines.append(f"{variable} = {made}{'.train()' if name in self.text.trained else '.requires_grad_(False)'}")
        if any(step.ema is not None for step in self.program.steps):
            names = dict.fromkeys(name for step in self.program.steps if step.ema is not None for name in step.update)
            loops = f"for network in ({', '.join(self.text.variables(names))},) for parameter in network.parameters()"
            lines.append(f"averages = {{parameter: parameter.detach().clone() {loops}}}")
        return lines

    def _optimizers(self) -> list[str]:
        lines = []
        for index, schedules in self.optimizers.items():
            step = self.program.steps[index]
            each = [f"{name}.parameters()" for name in self.text.variables(step.update)]
            parameters = each[0] if len(each) == 1 else f"[{', '.join(f'*{item}' for item in each)}]"
            lines.append(f"{self.loop.optimizer(index)} = {print_optimizer(step.optimizer, parameters, schedules)}")
        return lines

    def _data(self, by_epoch: bool) -> list[str]:
        lines = []
        if self.sources or self.fixed or self.evaluation_keys:
            lines.append('data = np.load(FOLDER / "data.npz")')
        for source, (keys, number) in self.sources.items():
            arrays = _arrays(keys)
            lines.append(f"{self._arrays_name()} = {arrays}" if by_epoch else f"{self._batches(source)} = Batches({arrays}, {number})")
        for name, key in self.fixed.items():
            lines.append(f'{self.loop.name(name)} = torch.from_numpy(data["{key}"]).to(DEVICE)')
        if self.evaluation_keys:
            lines.append(f"{self.loop.name('evaluation')} = {_arrays(self.evaluation_keys)}")
        for number, (name, size) in enumerate(self.buffers.items()):
            lines.append(f"{self.loop.buffer(name)} = ReplayBuffer({size}, {number})")
        return lines

    def _arrays_name(self) -> str:
        return self.loop.name("training")

    def _batches(self, source: str) -> str:
        return self.loop.name(f"{source}_batches")

    def _start(self) -> list[str]:
        """The generator's seed, and the first values of variables, which may be drawn."""
        lines = ["torch.manual_seed(derive_seed(TRAINING))"] if self.loop.torch_draws else []
        lines += [f"{self.loop.name('random')} = generators(TRAINING)"] if self.loop.numpy_draws else []
        if self.program.variables:
            lines.append("with torch.no_grad():")
            for name, made in self.loop.first_values({name: f'data["{key}"]' for name, key in self.fixed.items()}).items():
                lines.append(f"{INDENT}{self.text.networks[name]}.value.copy_({made})")
        return lines

    def _epochs(self, inner: list[str]) -> list[str]:
        counts = any("iteration" in line for line in inner) or self.program.evaluate_every is not None
        names = [self.loop.name(item) for item in self.loop.inputs_of(TRAIN)]
        targets = ", ".join(names) if len(names) > 1 else f"({names[0]},)"
        body = [*inner, *(["iteration += 1"] if counts else []), *self._evaluation_every("iteration")]
        states = self.loop.start_states()
        lines = ["for epoch in range(EPOCHS):", *(INDENT + line for line in states)]
        given = self._arrays_name() if self.program.carry is not None else f"{self._arrays_name()}, epoch"
        lines.append(f"{INDENT}for {targets} in batches({given}):{self.loop.note(TRAIN)}")
        lines += [INDENT * 2 + line for line in body]
        lines.append(f'{INDENT}print(f"epoch {{epoch + 1}}: {{describe(losses)}}", flush=True)')
        if self.program.evaluate_every is None:
            lines += [INDENT + line for line in self._evaluation()]
        return [*(["iteration = 0"] if counts else []), *lines]

    def _iterations(self, inner: list[str]) -> list[str]:
        states = self.loop.start_states()
        watches = TRAIN in self.sources and (bool(states) or (self.evaluate is not None and self.program.evaluate_every is None))
        body = [f"epoch = {self._batches(TRAIN)}.epoch"] if watches else []
        body += inner
        ends = f"{self._batches(TRAIN)}.epoch > epoch" if watches else ""
        if states and ends:
            body += [f"if {ends}:", *(INDENT + line for line in states)]
        body += ["if (iteration + 1) % REPORT == 0:"]
        body += [f'{INDENT}print(f"iteration {{iteration + 1}}: {{describe(losses)}}", flush=True)']
        if self.evaluate is not None:
            if self.program.evaluate_every is not None:
                body += self._evaluation_every("(iteration + 1)")
            else:
                condition = " or ".join([*([ends] if ends else []), "iteration + 1 == ITERATIONS"])
                body += [f"if {condition}:", *(INDENT + line for line in self._evaluation())]
        return [*states, "for iteration in range(ITERATIONS):", *(INDENT + line for line in body)]

    def _evaluation_every(self, done: str) -> list[str]:
        if self.evaluate is None or self.program.evaluate_every is None:
            return []
        condition = f"{done} % {self.program.evaluate_every} == 0 or {done.strip('()')} == ITERATIONS"
        return [f"if {condition}:", *(INDENT + line for line in self._evaluation())]

    def _evaluation(self) -> list[str]:
        """Measure and print."""
        if self.evaluate is None:
            return []
        given = [*self.text.variables(self.evaluate.networks), *([self.loop.name("evaluation")] if self.evaluation.arrays else [])]
        given += [self.loop.name(item) for item in self.evaluation.fixed]
        line = f'print(f"metrics: {{describe(evaluate({", ".join(given)}))}}", flush=True)'
        return ["with averaged(averages):", INDENT + line] if self._averages else [line]

    @property
    def _averages(self) -> bool:
        return any(step.ema is not None for step in self.program.steps)

    def _save(self) -> list[str]:
        lines = ['folder = FOLDER / "trained"', "folder.mkdir(exist_ok=True)"]
        if self.alone:
            (variable,) = self.text.networks.values()
            saved = [f'save_file({variable}.state_dict(), folder / "model.safetensors")']
        else:
            pairs = ", ".join(f'"{name}": {variable}' for name, variable in self.text.networks.items())
            saved = [f"for name, network in {{{pairs}}}.items():"]
            saved.append(f'{INDENT}save_file(network.state_dict(), folder / f"{{name}}.safetensors")')
        return [*lines, "with averaged(averages):", *(INDENT + line for line in saved)] if self._averages else [*lines, *saved]


def _arrays(keys: tuple[str, ...]) -> str:
    listed = (f'data["{key}"]' for key in keys)
    return f"[{', '.join(listed)}]"


def owned_optimizers(program: Program) -> list[int]:
    """The steps that own an optimizer, in order."""
    return [index for index in range(len(program.steps)) if owner_of(program.steps, index) == index]
