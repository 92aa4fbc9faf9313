"""The vocabulary of a training program: schedules, optimizers, steps, the program. Records only; back ends act on them.

Attribute names and defaults are torch.optim's. Schedules count iterations (updates of the program), from 0.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, final

from compiler.ir.graph import Graph
from compiler.ir.signature import NonNegative, Positive, PositiveFloat, Range
from compiler.source import Span

BLOCK_MARK = re.compile(r"\A[|>][-+0-9]*(?=\s)")
"""What stands before the lines of a block scalar in YAML."""
NonNegativeFloat = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]


class Schedule(ABC):
    """Abstract: a number that changes over a run."""

    name: ClassVar[str]
    kind: ClassVar[str] = "schedule"

    @abstractmethod
    def at(self, iteration: int, total: int) -> float:
        """The value before update `iteration` (from 0) of `total`."""


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """Always `value`, after a linear rise from 0 over `warmup` iterations."""

    name: ClassVar[str] = "constant"
    value: float
    warmup: NonNegative = 0

    def at(self, iteration: int, total: int) -> float:
        return self.value * rise(iteration, self.warmup)


@final
@dataclass(frozen=True)
class StepDecay(Schedule):
    """`value` times `gamma` for every full `every` iterations."""

    name: ClassVar[str] = "step"
    value: float
    every: Positive
    gamma: PositiveFloat = 0.1
    warmup: NonNegative = 0

    def at(self, iteration: int, total: int) -> float:
        return self.value * self.gamma ** (iteration // self.every) * rise(iteration, self.warmup)


@final
@dataclass(frozen=True)
class Exponential(Schedule):
    """`value` times `gamma` at every iteration."""

    name: ClassVar[str] = "exponential"
    value: float
    gamma: PositiveFloat
    warmup: NonNegative = 0

    def at(self, iteration: int, total: int) -> float:
        return self.value * self.gamma**iteration * rise(iteration, self.warmup)


@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `value` to `end` over the run. Loshchilov and Hutter 2017, arXiv:1608.03983."""

    name: ClassVar[str] = "cosine"
    value: float
    end: float = 0.0
    warmup: NonNegative = 0

    def at(self, iteration: int, total: int) -> float:
        if iteration < self.warmup:
            return self.value * rise(iteration, self.warmup)
        share = (iteration - self.warmup) / max(total - self.warmup, 1)
        return self.end + (self.value - self.end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


@final
@dataclass(frozen=True)
class Linear(Schedule):
    """`value` for `hold` iterations, then a straight line to `end` at the end of the run."""

    name: ClassVar[str] = "linear"
    value: float
    end: float = 0.0
    hold: NonNegative = 0
    warmup: NonNegative = 0

    def at(self, iteration: int, total: int) -> float:
        share = max(iteration - self.hold, 0) / max(total - self.hold, 1)
        return (self.value + (self.end - self.value) * min(share, 1.0)) * rise(iteration, self.warmup)


def rise(iteration: int, warmup: int) -> float:
    """The share of its value that a schedule has reached: (iteration + 1) / warmup, at most 1."""
    return min((iteration + 1) / warmup, 1.0) if warmup else 1.0


SCHEDULES: dict[str, type[Schedule]] = {item.name: item for item in (Constant, StepDecay, Exponential, Cosine, Linear)}
Scheduled = NonNegativeFloat | Schedule


@dataclass(frozen=True)
class Optimizer(ABC):
    """Abstract: an update rule with its settings; any setting typed `Scheduled` may change over the run."""

    name: ClassVar[str]
    kind: ClassVar[str] = "optimizer"

    def settings(self, iteration: int, total: int) -> dict[str, Any]:
        """Every setting as it is before update `iteration` (from 0) of `total`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value.at(iteration, total) if isinstance(value, Schedule) else value for name, value in values.items()}


@final
@dataclass(frozen=True)
class Sgd(Optimizer):
    """Stochastic gradient descent; with `momentum`, v = momentum v + g and w -= lr v (torch.optim.SGD)."""

    name: ClassVar[str] = "sgd"
    lr: Scheduled
    momentum: Scheduled = 0.0
    weight_decay: Scheduled = 0.0
    dampening: NonNegativeFloat = 0.0
    nesterov: bool = False


@final
@dataclass(frozen=True)
class Momentum(Optimizer):
    """Stochastic gradient descent with momentum 0.9 unless said otherwise."""

    name: ClassVar[str] = "momentum"
    lr: Scheduled
    momentum: Scheduled = 0.9
    weight_decay: Scheduled = 0.0
    nesterov: bool = False


@final
@dataclass(frozen=True)
class RmsProp(Optimizer):
    """Divide by a running root mean square; `alpha` is its memory (torch.optim.RMSprop)."""

    name: ClassVar[str] = "rmsprop"
    lr: Scheduled = 1e-2
    alpha: Fraction = 0.99
    eps: NonNegativeFloat = 1e-8
    weight_decay: Scheduled = 0.0
    momentum: Scheduled = 0.0
    centered: bool = False


@final
@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba 2015, arXiv:1412.6980 (torch.optim.Adam)."""

    name: ClassVar[str] = "adam"
    lr: Scheduled = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: Scheduled = 0.0
    amsgrad: bool = False


@final
@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay. Loshchilov and Hutter 2019, arXiv:1711.05101 (torch.optim.AdamW)."""

    name: ClassVar[str] = "adamw"
    lr: Scheduled = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8
    weight_decay: Scheduled = 1e-2
    amsgrad: bool = False


@final
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Duchi et al. 2011 (torch.optim.Adagrad)."""

    name: ClassVar[str] = "adagrad"
    lr: Scheduled = 1e-2
    lr_decay: NonNegativeFloat = 0.0
    weight_decay: Scheduled = 0.0
    initial_accumulator_value: NonNegativeFloat = 0.0
    eps: NonNegativeFloat = 1e-10


@final
@dataclass(frozen=True)
class Lbfgs(Optimizer):
    """Limited-memory BFGS, Liu and Nocedal 1989 (torch.optim.LBFGS): one update is up to `max_iter` steps along the objective as it is.

    With `line_search_fn=strong_wolfe` steps have the length that the conditions of Wolfe ask for, else `lr`.
    """

    name: ClassVar[str] = "lbfgs"
    lr: Scheduled = 1.0
    max_iter: Positive = 20
    tolerance_grad: NonNegativeFloat = 1e-7
    tolerance_change: NonNegativeFloat = 1e-9
    history_size: Positive = 100
    line_search_fn: Literal["none", "strong_wolfe"] = "none"

    @property
    def most_evaluations(self) -> int:
        """How often one update may evaluate the objective before it ends."""
        return self.max_iter * 5 // 4


OPTIMIZERS: dict[str, type[Optimizer]] = {item.name: item for item in (Sgd, Momentum, RmsProp, Adam, AdamW, Adagrad, Lbfgs)}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A tensor that is trained itself: `network` has no inputs and owns the one parameter `value`; `init` computes its first value.

    The inputs of `init` are data sources that are one tensor each.
    """

    network: Graph
    init: Graph
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Sample(ABC):
    """Abstract: something that a run writes to a file whenever it is evaluated; `graph` computes it in evaluation mode."""

    graph: Graph
    span: Span


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pictures(Sample):
    """Pictures [K, 1 or 3, H, W] with values from 0 to 1."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Points(Sample):
    """Points [K, 2] of a plane."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Text(Sample):
    """Text written character by character.

    The graph reads the characters so far as its input `field`, i64[N, T], and gives the output `logits`, [N, T, V], and the
    next value of every carried state it reads, under the state's name. Characters are drawn from softmax(logits / temperature).
    """

    field: str
    prompt: str
    length: int
    temperature: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Carry:
    """States that go from iteration to iteration: outputs of both graphs are the states by name.

    `start` gives them at the beginning of an epoch; `following` from the states, as inputs by name, and an iteration's batch and
    draws, before the steps of the iteration update anything.
    """

    start: Graph
    following: Graph


@final
@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One kind of update: the objective as a graph, what it updates, how, and how often.

    The graph's inputs are named by field (`image`), draw (`z`) or carried state (`h`); its one output is the objective, a scalar.
    Steps with one `update` and equal optimizers share the optimizer's state. `mode` says of networks whether they are in training
    mode, where it is not what the program would choose. `ema` is the decay of an averaged copy of what the step updates.
    """

    name: str
    graph: Graph
    sense: Literal["minimize", "maximize"]
    update: tuple[str, ...]
    optimizer: Optimizer
    span: Span
    clip_norm: float | None = None
    clip_value: float | None = None
    clamp: float | None = None
    repeat: int = 1
    every: int = 1
    after: int = 0
    until: int | None = None
    ema: float | None = None
    mode: Mapping[str, bool] = field(default_factory=dict)

    @property
    def objective(self) -> str:
        """The objective as the spec writes it, on one line."""
        return " ".join(BLOCK_MARK.sub("", self.span.text).split())


@final
@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A training program. Exactly one of `epochs` and `iterations` is given; one iteration runs every step once.

    `draws` makes the tensors drawn once an iteration (None without any); `metrics` are scalars of evaluation data. Metrics are
    measured and samples written every `evaluate_every` iterations (None: after each epoch) and at the end; checkpoints are
    taken every `checkpoint_every` iterations (None: by the clock), and `checkpoints_kept` are kept.
    """

    steps: tuple[Step, ...]
    batch: int
    epochs: int | None
    iterations: int | None
    seed: int
    draws: Graph | None
    metrics: Mapping[str, Graph] = field(default_factory=dict)
    evaluation: str = "test"
    variables: Mapping[str, Variable] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)
    carry: Carry | None = None
    evaluate_every: int | None = None
    checkpoint_every: int | None = None
    checkpoints_kept: int | None = None

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """Every graph of the program, each once."""
        found: list[Graph] = []

        def collect(graph: Graph) -> Graph:
            found.append(graph)
            return graph

        replace_graphs(self, collect)
        return tuple(found)


def replace_graphs(program: Program, change: Callable[[Graph], Graph]) -> Program:
    """The program with `change` made of each of its graphs, the networks of variables included."""
    carry = program.carry
    return replace(
        program,
        steps=tuple(replace(step, graph=change(step.graph)) for step in program.steps),
        draws=None if program.draws is None else change(program.draws),
        metrics={name: change(graph) for name, graph in program.metrics.items()},
        variables={name: replace(item, network=change(item.network), init=change(item.init)) for name, item in program.variables.items()},
        samples={name: replace(item, graph=change(item.graph)) for name, item in program.samples.items()},
        carry=None if carry is None else Carry(change(carry.start), change(carry.following)),
    )
