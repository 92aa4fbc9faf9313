"""Times a spec's networks and training steps on both back ends, in turn in one process, so that what else the machine does hits all alike.

Forward passes run in evaluation mode on drawn inputs, as they are trained and prepared for inference; steps on batches of the spec's data,
as in training. Times are seconds.
Non-goals: accuracy (see `comparison`), several devices.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final, final

from compiler.diagnostics import SpecError
from compiler.front.checked import Checked
from compiler.ir.graph import Graph
from compiler.ir.measure import multiply_adds
from compiler.ir.training import Program
from compiler.passes.inference import prepare_inference
from netlang.comparison import choose_size, draw_inputs
from netlang.model import load
from netlang.report.benchmark import Benchmark, Timing
from netlang.training.engine import Engine
from netlang.training.engines import make_engine, require_torch
from netlang.training.feed import Feed
from netlang.training.loop import Inputs
from netlang.training.memory import require_memory

if TYPE_CHECKING:
    import numpy as np

BACKENDS: Final = ("torch", "numpy")
COMPILED: Final = "torch.compile"
FOLDED: Final = ", inference"
"""Ends the name of a way with what `build --inference` writes; there where that folds something."""
WARMUP: Final = 3
FEWEST: Final = 5
"""Rounds that are timed at least, however long they take."""
SIDE: Final = 1024
"""The side of the square matrices whose product is the machine's limit."""
ITERATIONS: Final = 10**6
"""How long the run is that schedules see: its beginning is timed."""

Call = Callable[[], Any]


def benchmark(checked: Checked, *, batch: int | None = None, seconds: float = 2.0, compiled: bool = False, seed: int = 0) -> Benchmark:
    """Time a correct spec for about `seconds` a network or program and way; `compiled` adds torch.compile.

    `batch` is the N of forward passes, the program's unless given (1 without one). Steps use the program's own.
    """
    require_torch()
    program = checked.require().program
    rows = batch if batch is not None else 1 if program is None else program.batch
    require_memory(checked, rows)
    timings: list[Timing] = []
    left_out: list[str] = []
    for name, graph in checked.networks.items():
        if graph.inputs:
            timings += _time_network(checked, name, graph, rows, seconds, compiled, seed)
    if program is not None:
        timings += _time_program(checked, program, seconds, seed, left_out)
    return Benchmark(tuple(timings), _measure_limit(), tuple(left_out))


def _time_network(
    checked: Checked, name: str, graph: Graph, batch: int, seconds: float, compiled: bool, seed: int
) -> Iterator[Timing]:  # fmt: skip
    inputs = draw_inputs(graph, batch, seed)
    sizes = {symbol: batch if symbol == "N" else choose_size(graph, batch) for symbol in graph.symbols}
    work = multiply_adds(graph).evaluate(sizes)
    ways = [*BACKENDS, *([COMPILED] if compiled else [])]
    calls = {way: _forward(checked, name, way, inputs, seed) for way in ways}
    if prepare_inference(checked.networks).foldings[name]:
        calls |= {f"{way}{FOLDED}": _forward(checked, name, way, inputs, seed, inference=True) for way in ways}
    times = _alternate(calls, seconds * len(calls))
    for way, found in times.items():
        allocated = _allocated(calls[way]) if way.startswith("numpy") else None
        yield Timing("forward", name, way, statistics.median(found), min(found), work, allocated)


def _forward(checked: Checked, name: str, way: str, inputs: Mapping[str, np.ndarray], seed: int, *, inference: bool = False) -> Call:
    if way == "numpy":
        network = load(checked, seed=seed, backend="numpy", inference=inference)[name]
        return lambda: network(*inputs.values())
    import torch

    module = load(checked, seed=seed, inference=inference)[name]
    run = torch.compile(module) if way == COMPILED else module
    given = [torch.from_numpy(array) for array in inputs.values()]

    def call() -> Any:
        with torch.inference_mode():
            return run(*given)

    return call


def _time_program(checked: Checked, program: Program, seconds: float, seed: int, left_out: list[str]) -> Iterator[Timing]:
    """Every step within iterations, as training runs them."""
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for backend in BACKENDS:
            try:
                engines[backend] = stack.enter_context(closing(make_engine(checked, seed, ITERATIONS, backend, "cpu", None)))
            except SpecError as error:
                left_out.append(f"training on {backend}: {error.diagnostics[0].message}")
        runs = {backend: _Iterations(checked, program, engine, seed) for backend, engine in engines.items()}
        for run in runs.values():
            for _ in range(WARMUP):
                run.time()
        end, rounds = time.perf_counter() + seconds * len(runs), 0
        while rounds < FEWEST or time.perf_counter() < end:
            order = list(runs.values())
            for run in order if rounds % 2 else reversed(order):
                run.record()
            rounds += 1
        for index, step in enumerate(program.steps):
            for backend, run in runs.items():
                found = run.times[index]
                yield Timing("step", step.name, backend, statistics.median(found), min(found), None, None)


@final
class _Iterations:
    """Iterations of one engine, each step timed without the reading of data."""

    def __init__(self, checked: Checked, program: Program, engine: Engine, seed: int) -> None:
        self._program = program
        self._engine = engine
        self._feed = Feed(checked, seed)
        self._fixed = engine.place(self._feed.fixed)
        self._count = 0
        self.times: list[list[float]] = [[] for _ in program.steps]
        engine.begin(self._fixed)

    def time(self) -> list[float]:
        """One run of every step, each once."""
        inputs = Inputs(self._feed, self._engine, self._fixed)
        if self._program.carry is not None:
            self._engine.advance(inputs.read(self._program.carry.following))
        found = []
        for index, step in enumerate(self._program.steps):
            given = inputs.read(step.graph)
            began = time.perf_counter()
            self._engine.update(index, given, self._count, ITERATIONS)
            found.append(time.perf_counter() - began)
        self._count += 1
        return found

    def record(self) -> None:
        for index, seconds in enumerate(self.time()):
            self.times[index].append(seconds)


def _alternate(calls: Mapping[str, Call], seconds: float) -> dict[str, list[float]]:
    """Times of each call, one after the other in rounds, the order turned round each time."""
    for call in calls.values():
        for _ in range(WARMUP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < FEWEST or time.perf_counter() < end:
        names = list(calls)
        for name in names if rounds % 2 else reversed(names):
            began = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - began)
        rounds += 1
    return times


def _allocated(call: Call) -> int:
    """The most bytes that Python and NumPy hold at once during a call, beyond what they held before."""
    tracemalloc.start()
    try:
        call()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _measure_limit() -> float:
    """Multiply-adds a second of a large product of f32 matrices, the best of several."""
    import numpy as np

    a = np.ones((SIDE, SIDE), np.float32)
    times = _alternate({"product": lambda: a @ a}, 0.2)
    return SIDE**3 / min(times["product"])
