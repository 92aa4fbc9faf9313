"""A stand-alone PyTorch training file: `train.py`, beside `model.py`, its weights and `data.npz`.

It computes what the program's plan computes, in the same order and with the same draws, and needs torch, NumPy and safetensors.
Non-goals: checkpoints, samples, several devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from compiler.backends.torch_source import needed_imports, open_file, print_blocks, printed_sections
from compiler.emit.layout import file_title, join_file
from compiler.emit.train_bodies import ROWS, TrainText, module_variables, print_graph
from compiler.emit.train_draws import print_drawing
from compiler.emit.train_evaluation import Evaluate, Evaluation, evaluation_functions, needs_draws, needs_states, print_evaluate
from compiler.emit.train_helpers import AVERAGED, DERIVE_SEED, GENERATORS, PERMUTE, REPLAY_BUFFER, print_epoch, print_stream
from compiler.emit.train_loop import Functions, Loop
from compiler.emit.train_main import Main, is_by_epoch, owned_optimizers
from compiler.emit.train_settings import WORDS, print_schedule, scheduled
from compiler.emit.train_steps import print_update
from compiler.front.checked import Checked
from compiler.ir.graph import Call, Graph, called_networks
from compiler.ir.training import Program, Schedule, replace_graphs
from compiler.passes.expand import calling_order, expand_all, lacks_torch
from compiler.passes.program_inputs import TRAIN, data_key, evaluation_graphs, needed_fields, source_types, training_graphs
from compiler.passes.program_plan import ProgramPlan, plan_spec

RESERVED: Final = (
    "ITERATIONS", "EPOCHS", "BATCH", "SEED", "FOLDER", "DEVICE", "REPORT", "TRAINING", "EVALUATION", "REPLAY", "Batches", "batches",
    "ReplayBuffer", "averaged", "derive_seed", "describe", "permute", "evaluate", "main", "save_file",
    "contextmanager", "count", "generators", "Iterator",
)  # fmt: skip
"""What the file defines or imports itself."""
OWN: Final = ("averages", "data", "epoch", "folder", "iteration", "losses", "name", "network", "parameter")
"""Variables of `main`."""
MAIN: Final = """if __name__ == "__main__":
    main()"""
DESCRIBE: Final = '''def describe(values: dict[str, float]) -> str:
    """`loss 0.1234, accuracy 0.9`."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())'''
IMPORTS: Final = {
    "Iterator[": "from collections.abc import Iterator",
    "in count(1)": "from itertools import count",
    "@contextmanager": "from contextlib import contextmanager",
}
"""What the helpers import, by a sign of its use."""
NEEDS: Final = "Needs torch, NumPy and safetensors, and beside it model.py, its weights and data.npz."
PURPOSES: Final = {"TRAINING": 2, "EVALUATION": 3, "REPLAY": 4}
"""As netlang's runs number what numbers are drawn for."""


@final
@dataclass(frozen=True, slots=True)
class Settings:
    """What a training file is printed with: who made it, the seed, the iterations of a whole run where they are known."""

    made_by: str
    seed: int
    iterations: int | None


@final
class UnknownTotal(Exception):
    """The file needs the number of iterations, which is not known."""


def train_file(checked: Checked, settings: Settings) -> str:
    """The text of `train.py` for the program of a spec; raises UnknownTotal."""
    program, plan = _expanded(checked)
    networks = {name for graph in program.graphs for name in called_networks(graph)}
    networks |= {name for step in program.steps for name in step.update}
    known = [name for name in checked.networks if name in networks]
    graphs = [*plan.evaluated, *(item.graph for item in plan.shared), *program.graphs]
    order = calling_order(*graphs)
    file = open_file(order)
    variables = module_variables(known, {*RESERVED, *OWN, "optimizer", "loss", "objective"})
    for name in (*RESERVED, *variables.values()):
        file.taken.add(file.names.claim(name))
    print_blocks(file, _own_blocks(graphs))
    text = TrainText(file, variables, frozenset(name for step in program.steps for name in step.update))
    return _Printer(checked, program, plan, text, settings).print()


def _expanded(checked: Checked) -> tuple[Program, ProgramPlan]:
    """The program and its plan with ops that torch prints."""
    program = checked.require().program
    assert program is not None
    made = dict(zip(map(id, program.graphs), expand_all(list(program.graphs), lacks_torch), strict=True))
    expanded = replace_graphs(program, lambda graph: made[id(graph)])
    whole = Checked(**{name: getattr(checked, name) for name in Checked.__dataclass_fields__} | {"program": expanded})
    return expanded, plan_spec(whole)


def _own_blocks(graphs: list[Graph]) -> list[Graph]:
    """The blocks that a program's graphs call outside of networks, callees first."""
    found: set[int] = set()
    pending = list(graphs)
    while pending:
        for node in pending.pop().nodes:
            if isinstance(node.op, Call) and node.op.graph.kind == "block" and id(node.op.graph) not in found:
                found.add(id(node.op.graph))
                pending.append(node.op.graph)
    return [graph for graph in calling_order(*graphs) if id(graph) in found]


@final
class _Printer:
    """Prints a file's parts and puts them together."""

    def __init__(self, checked: Checked, program: Program, plan: ProgramPlan, text: TrainText, settings: Settings) -> None:
        self._checked = checked
        self._program = program
        self._plan = plan
        self._text = text
        self._settings = settings
        self._schedule_texts: list[str] = []
        self._trained = needed_fields(source_types(checked), TRAIN, training_graphs(program))
        self._evaluated = needed_fields(source_types(checked), program.evaluation, evaluation_graphs(program, samples=False))

    def print(self) -> str:
        program = self._program
        functions, schedules = self._functions()
        sources = {source: tuple(fields.values()) for source, fields in self._trained.sampled.items()}
        loop = Loop(self._text, program, self._plan, functions, sources, self._text.names(*OWN))
        if is_by_epoch(program, sources):
            loop.take_before(TRAIN)
        evaluation = Evaluation(
            tuple(item for fields in self._evaluated.sampled.values() for item in fields.values()),
            tuple(item for fields in self._evaluated.fixed.values() for item in fields.values()),
            len(self._evaluated.sampled) > 1,
        )
        metrics = evaluation_functions(self._text, program)
        draw = functions.draw if needs_draws(program) else None
        start = functions.start if needs_states(program) else None
        evaluate = print_evaluate(self._text, program, metrics, draw, start, evaluation) if metrics else None
        main = Main(
            self._text, program, loop, self._source_keys(), self._fixed_keys(),
            tuple(data_key(source, field) for source, fields in self._evaluated.sampled.items() for field in fields),
            evaluation, evaluate, {index: schedules[index] for index in owned_optimizers(program)}, len(self._checked.networks) == 1,
            {name: size for item in self._plan.replayed if item is not None for name, size in item.sizes.items()},
        )  # fmt: skip
        printed = main.print()
        helpers = self._helpers(is_by_epoch(program, sources), printed, evaluate)
        parts = [
            *printed_sections(self._text.file),
            *self._schedule_texts,
            *(item.text for item in self._text.called.values()),
            *(item.text for item in functions.updates),
            *([evaluate.text] if evaluate is not None else []),
            printed,
            MAIN,
        ]
        return self._file(helpers, parts)

    def _functions(self) -> tuple[Functions, list[dict[str, str]]]:
        """The printed functions, and the functions of schedules by step and setting."""
        program, plan, text = self._program, self._plan, self._text
        schedules = self._schedules()
        shared = [print_graph(text, item.graph, f"make_{'_and_'.join(item.names[:2])}", "") for item in plan.shared]
        replayed = [
            None if item is None else print_graph(text, item.graph, f"make_{step.name}_sources", "", decorator="@torch.no_grad()")
            for step, item in zip(program.steps, plan.replayed, strict=True)
        ]
        carry = None if plan.carry is None else print_graph(text, plan.carry, "next_states", "")
        start = None if program.carry is None else print_graph(text, program.carry.start, "first_states", "", ROWS)
        first = {name: print_drawing(text, item.init, f"first_{name}") for name, item in program.variables.items()}
        draw = None if program.draws is None else print_drawing(text, program.draws, "draw")
        drawn = tuple(
            None if graph is None else print_drawing(text, graph, f"draw_for_{step.name}")
            for step, graph in zip(program.steps, plan.drawn, strict=True)
        )
        updates = tuple(print_update(text, program, plan, index, schedules[index]) for index in range(len(program.steps)))
        return Functions(updates, tuple(shared), tuple(replayed), carry, start, draw, drawn, first), schedules

    def _schedules(self) -> list[dict[str, str]]:
        """The functions of settings that change, by step and setting; equal schedules have one function."""
        found = [scheduled(step.optimizer) for step in self._program.steps]
        different: dict[str, set[Schedule]] = {}
        for item in found:
            for name, schedule in item.items():
                different.setdefault(name, set()).add(schedule)
        made: dict[tuple[str, Schedule], str] = {}
        for step, item in zip(self._program.steps, found, strict=True):
            for name, schedule in item.items():
                word = WORDS.get(name, name)
                if (name, schedule) not in made:
                    made[name, schedule] = self._text.file.claim(word if len(different[name]) == 1 else f"{step.name}_{word}")
                    self._schedule_texts.append("\n".join(print_schedule(made[name, schedule], schedule)))
        return [{name: made[name, schedule] for name, schedule in item.items()} for item in found]

    def _source_keys(self) -> dict[str, tuple[tuple[str, ...], int]]:
        order = list(self._checked.readers)
        return {
            source: (tuple(data_key(source, field) for field in fields), order.index(source))
            for source, fields in self._trained.sampled.items()
        }

    def _fixed_keys(self) -> dict[str, str]:
        found = [*self._trained.fixed.items(), *self._evaluated.fixed.items()]
        return {item: data_key(source, field) for source, fields in found for field, item in fields.items()}

    def _helpers(self, by_epoch: bool, main: str, evaluate: Evaluate | None) -> list[str]:
        """The functions that do not depend on the spec, as far as they are needed."""
        lifted = any(item is not None for item in self._plan.drawn)
        whole, follows = len(self._trained.sampled) > 1 or self._program.draws is not None or lifted, self._program.carry is not None
        found = []
        used = f"{main}\n{evaluate.text if evaluate is not None else ''}"
        if any(f"{name}(" in used for name in ("derive_seed", "ReplayBuffer", "generators")):
            found.append(DERIVE_SEED)
        found += [GENERATORS] * ("generators(" in used)
        if self._trained.sampled:
            number = list(self._checked.readers).index(next(iter(self._trained.sampled)))
            found += [] if follows else [PERMUTE]
            found.append(print_epoch(number, whole=whole, follows=follows) if by_epoch else print_stream(whole=whole, follows=follows))
        found += [REPLAY_BUFFER] * ("ReplayBuffer(" in used) + [AVERAGED] * ("averaged(" in used) + [DESCRIBE]
        return found

    def _file(self, helpers: list[str], parts: list[str]) -> str:
        program, settings = self._program, self._settings
        body = "\n\n\n".join([*helpers, *parts])
        constants = ["FOLDER = Path(__file__).parent", 'DEVICE = "cpu"', f"SEED = {settings.seed}"]
        constants += [f"BATCH = {program.batch}"] if "BATCH" in body else []
        constants += [f"EPOCHS = {program.epochs}"] if "EPOCHS" in body else []
        note = "" if program.epochs is None else f"  # {program.epochs} epochs"
        if "ITERATIONS" in body:
            if settings.iterations is None:
                raise UnknownTotal
            constants.append(f"ITERATIONS = {settings.iterations}{note}")
            constants += [f"REPORT = {max(settings.iterations // 100, 1)}"] if "% REPORT" in body else []
        constants += [f"{name} = {number}" for name, number in PURPOSES.items() if f"({name})" in body]
        needed = ["from pathlib import Path", "from model import load", "from safetensors.torch import save_file", "import torch"]
        needed += [line for sign, line in IMPORTS.items() if sign in body]
        left_out = f" It writes no samples ({', '.join(program.samples)})." if program.samples else ""
        title = file_title(self._checked.doc, self._checked.name, settings.made_by, NEEDS + left_out)
        return join_file(title, [*needed, *needed_imports(body)], [*helpers, *parts], constants)
