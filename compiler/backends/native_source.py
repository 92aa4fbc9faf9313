"""Prints the loop of a planned scan as C: products of rows by packed weights, and between them one pass over the numbers of a row.

What stands around the loop, its arrays and its chunks, is printed as NumPy by `scan_kernels`. A row of the batch meets no other row in
the loop, so that the printed function does the rows from `first` to before `last` and several threads may call it at once.

Contract: values stand where `scan_memory` put them, as far as anything reads them there. Raises Unsupported for a loop with anything but
element-wise functions of [N, W], [N] and weights, and products of [N, K] by weights; W and K are numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, final

from compiler.backends.native_outer import print_outer
from compiler.backends.native_pointers import Pointers, c_type
from compiler.backends.native_program import OPERATORS, RENAMED, TOTAL, Settled, row_width, settle
from compiler.backends.native_setup import Setup
from compiler.backends.scan_frame import number
from compiler.backends.scan_kernels import Kernel
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Place, Slab
from compiler.ir.graph import Value
from compiler.ir.types import DType
from compiler.passes.scan_algebra import CARRIED, SETUP, Program
from compiler.passes.scan_steps import Operand, Step

SIZES: Final = ("T", "N", "chunk", "span", "keep", "start", "base", "count", "inward")
FEW: Final = 8
"""Below how many rows the products of what is known before the loop are done for all its steps at once."""


@final
@dataclass(slots=True)
class NativeText:
    """The C functions of a scan without what all share, and by name how many arrays they take; `setups` are called once a scan."""

    stem: str
    functions: list[str] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    setups: dict[str, int] = field(default_factory=dict)

    def settle(self, program: Program) -> Settled:
        """The program as its loop is to be printed."""
        return settle(program)

    def find_early(self, program: Program) -> list[Value]:
        """What products in a loop make that wait for nothing there, so that they may be done for several steps at once."""
        products = [step for step in program.loop if step.function in ("matmul", "contract")]
        return [step.result for step in products if all(program.level[value] != CARRIED for value in step.values)]

    def print_loop(self, kernel: Kernel, moves: Iterable[tuple[Place, Place]]) -> None:
        """Print a loop: a C function here, and its call into the kernel."""
        _Loop(kernel, self, tuple(moves)).print()
        if kernel.outers:
            name = f"{self.stem}_backward_weights"
            text, self.names[name] = print_outer(kernel, name, list(kernel.outers.values()), SIZES)
            self.functions.append(text)


@final
@dataclass(slots=True)
class _Stage:
    """A product of several lanes, or element-wise steps of one width. `early` products wait for nothing in the loop; `inward` ones
    are for gradients of sequences alone.
    """

    steps: list[Step]
    width: int
    product: bool
    early: bool = False
    inward: bool = False


@final
class _Loop:
    def __init__(self, kernel: Kernel, text: NativeText, moves: tuple[tuple[Place, Place], ...]) -> None:
        self.kernel = kernel
        self.text = text
        self.moves = moves
        self.places = kernel.memory.places
        self.level = kernel.program.level
        self.arguments: dict[str, str] = {}
        self.totals: dict[int, str] = {}
        self.flushes: list[str] = []
        self.work = 0
        self.name = f"{text.stem}_{'backward' if kernel.backward else 'forward'}_steps"
        self.setup = Setup(kernel, f"{self.name}_setup")
        self.stages = self._cut()
        self.stored = self._find_stored()
        early = {self.places[step.result].slab for stage in self.stages if stage.early for step in stage.steps}
        self.pointers = Pointers(kernel, early)

    # what is done ---------------------------------------------------------------------------------------------------------

    def _cut(self) -> list[_Stage]:
        """The loop as stages, in the order of its calls, with what is to be added up as soon as it is made."""
        stages: list[_Stage] = []
        made: dict[Value, _Stage] = {}

        def add(step: Step, width: int) -> None:
            """An element-wise step, to the last pass where what stands behind that does not matter to the step."""
            last = next((index for index in reversed(range(len(stages))) if not stages[index].product), None)
            if last is None or stages[last].width != width or any(self._meets(stage, step) for stage in stages[last + 1 :]):
                last = len(stages)
                stages.append(_Stage([], width, False))
            stages[last].steps.append(step)
            made[step.result] = stages[last]

        for run in self.kernel.memory.runs:
            first = run.steps[0]
            width = row_width(first.result.type)
            if first.function in ("matmul", "contract"):
                early = all(self._is_early(self.places[step.result].slab) for step in run.steps)
                stage = _Stage(list(run.steps), width, True, early, self._is_inward(run.steps))
                index = len(stages)
                while index and not stages[index - 1].product and not any(self._meets(stages[index - 1], step) for step in run.steps):
                    index -= 1
                stages.insert(index, stage)
                made.update((step.result, stage) for step in run.steps)
                continue
            for step in run.steps:
                add(step, width)
        for step in self.kernel.totals.values():
            (value,) = step.values
            owner = made.get(value)
            if owner is not None and not owner.product:
                owner.steps.append(step)
            else:
                add(step, row_width(value.type))
        return stages

    def _meets(self, stage: _Stage, step: Step) -> bool:
        """Whether a step may not change places with a stage before it: it reads what that makes, or writes where that reads or writes."""
        made = {item.result for item in stage.steps}
        place = self.places.get(step.result)
        touched = {self.places.get(value) for item in stage.steps for value in (*item.values, item.result)} - {None}
        return not made.isdisjoint(step.values) or place in touched

    def _is_early(self, slab: Slab) -> bool:
        """Whether all that is in a slab is made by products that wait for nothing in the loop, and read in the loop alone."""
        return slab.scope == CHUNK and all(value in self.kernel.early for value, place in self.places.items() if place.slab is slab)

    def _is_inward(self, steps: tuple[Step, ...]) -> bool:
        """Whether nothing but the gradient of a sequence reads what these steps make."""
        if not self.kernel.backward:
            return False
        program = self.kernel.program
        read = {value for step in (*program.loop, *program.after, *self.kernel.totals.values()) for value in step.values}
        carried = {source for _, source in self.moves}
        places = [self.places[step.result] for step in steps]
        return not any(step.result in read for step in steps) and not any(
            place.slab.scope != WHOLE or place.slab.given or place in carried for place in places
        )

    def _find_stored(self) -> set[Value]:
        """The values of element-wise stages that something reads in memory: a later stage, the next step, or what follows the loop."""
        made: dict[Value, int] = {}
        stored: set[Value] = set()
        last: dict[Place, Value] = {}
        for index, stage in enumerate(self.stages):
            for step in stage.steps:
                stored.update(value for value in step.values if made.get(value, index) != index)
                made[step.result] = index
                if step.function != TOTAL:
                    last[self.places[step.result]] = step.result
        moved = {source for _, source in self.moves}
        kept = (value for place, value in last.items() if place.slab.scope != STEP or place.slab.given or place in moved)
        return stored | set(kept)

    # text -----------------------------------------------------------------------------------------------------------------

    def print(self) -> None:
        kernel = self.kernel
        early: list[str] = []
        body: list[str] = []
        helpers: list[str] = []
        name = self.name
        for index, stage in enumerate(self.stages):
            if stage.product:
                lines = self._print_product(stage)
                early += [line.replace("first, last", "0, count * N") for line in lines] if stage.early else []
                body += [*["if (!early)"] * stage.early, *["if (inward)"] * stage.inward, *lines]
            else:
                body += self._print_pass(f"{name}_{index}", stage, helpers)
        body += self.flushes
        for target, source in self.moves:
            width = row_width(target.slab.type)
            to, origin = self.pointers.name(target), self.pointers.name(source)
            body.append(f"memcpy({to} + first * {width}, {origin} + first * {width}, (size_t)((last - first) * {width}) * sizeof(*{to}));")
        if not body:
            return
        function, self.text.setups[self.setup.name], work = self.setup.print()
        self._setup_argument(work)
        setup = "".join(f", real *{text}" for text in self.arguments.values())
        sizes = "".join(f", ptrdiff_t {size}" for size in ("part", *SIZES))
        direction = "t = count - 1; t >= 0; t--" if kernel.backward else "t = 0; t < count; t++"
        lines = [f"void {name}(ptrdiff_t first, ptrdiff_t last{sizes}{self.pointers.parameters()}{setup})", "{"]
        lines += [f"    (void){size};" for size in ("part", *SIZES)]
        lines += [f"    real *packed = aligned({self.arguments[work]});", "    (void)packed;"]
        if early:
            known = self.pointers.declare(self._early_places())
            lines += [f"    const int early = first == 0 && last == N && N < {FEW};", "    if (early) {", "        const ptrdiff_t t = 0;"]
            lines += [*("        " + line for line in (*known, *early)), "    }"]
        lines += [f"    for (ptrdiff_t {direction}) {{", *("        " + line for line in (*self.pointers.declare(), *body)), "    }", "}"]
        self.text.functions.append("\n\n".join([function, *helpers, "\n".join(lines)]) + "\n")
        self.text.names[name] = len(self.pointers.slabs()) + len(self.arguments)
        self._print_call(name)

    def _early_places(self) -> set[Place]:
        """What early products read and make."""
        steps = [step for stage in self.stages if stage.early for step in stage.steps]
        return {self.places[value] for step in steps for value in (*step.values[::2], step.result)}

    def _print_call(self, name: str) -> None:
        kernel = self.kernel
        texts = [*self.pointers.arguments(), *self.arguments]
        kernel.head.text.insert(0, "    threads = count_threads()")
        used = self.pointers.slabs()
        idle = {kernel.arrays[slab] for slab in kernel.memory.slabs if slab.scope == STEP and not slab.given and slab not in used}
        kernel.head.text[:] = [line for line in kernel.head.text if line.partition(" = ")[0].strip() not in idle]
        kernel.static.append(f"addresses = array_addresses({', '.join(texts)})")
        brief = [slab for slab in kernel.memory.slabs if slab.scope == WHOLE and slab not in kernel.always | kernel.brief]
        short = bool(brief) and not kernel.backward
        known = {"span": short, "base": short, "keep": not kernel.backward, "inward": kernel.backward}
        sizes = ", ".join(size if known.get(size, True) else "0" for size in SIZES)
        kernel.body.add(f"run_rows({name}, N, {self.work} * count, threads, ({sizes}), addresses)")

    def _setup_argument(self, text: str) -> str:
        """The C name of an array that the NumPy text holds."""
        return self.arguments.setdefault(text, f"weight_{len(self.arguments)}")

    def _print_product(self, stage: _Stage) -> list[str]:
        first = stage.steps[0]
        contract = first.function == "contract"
        pairs = list(zip(first.values[::2], first.values[1::2], strict=True)) if contract else [(first.values[0], first.values[1])]
        weights = [right for _, right in pairs] if contract else [step.values[1] for step in stage.steps]
        inner, outer = (dim.constant for dim in weights[0].type.shape)
        lanes, factors = (1, len(pairs)) if contract else (len(weights), 1)
        self.work += len(weights) * (inner or 0) * (outer or 0)
        panels = self.setup.add_panels(weights, lanes, factors)
        lefts = ", ".join(self.pointers.name(self.places[left]) for left, _ in pairs)
        outs = ", ".join(self.pointers.name(self.places[step.result]) for step in stage.steps)
        call = f"first, last, {lanes}, {factors}, {inner}, {outer}, left, out, {panels}"
        return [
            "{",
            f"    const real *left[] = {{{lefts}}};",
            f"    real *out[] = {{{outs}}};",
            f"    multiply_rows({call});",
            "}",
        ]

    def _print_pass(self, name: str, stage: _Stage, helpers: list[str]) -> list[str]:
        """A pass over a row, as a function of its own that does `count` numbers of it; the loop over rows calls it."""
        width = stage.width
        known: dict[Value, str] = {}
        given: dict[str, tuple[str, str]] = {}
        lines: list[str] = []
        for step in stage.steps:
            operands = [self._operand(item, step, width, known, given, lines) for item in step.operands]
            if step.function == TOTAL:
                total = self._total(step, given)
                lines.append(f"store({total} + j, load({total} + j, count) + {operands[0]}, count);")
                continue
            text = f"v{len(known)}"
            known[step.result] = text
            truth = step.result.type.dtype is DType.bool
            lines.append(f"{'mask' if truth else 'vec'} {text} = {self._expression(step, operands)};")
            if step.result in self.stored:
                pointer = self._given(self.places[step.result], width, given)
                lines.append(f"store{'_truth' * truth}({pointer} + j, {text}, count);")
            self.work += 8 * width if step.function in ("tanh", "exp") else width // 2
        parameters = "".join(f", {kind} *{text}" for text, (kind, _) in given.items())
        helpers.append("\n".join([f"INLINE void {name}(ptrdiff_t j, ptrdiff_t count{parameters})", "{", *("    " + x for x in lines), "}"]))
        values = "".join(f", {value}" for _, value in given.values())
        return [
            "for (ptrdiff_t n = first; n < last; n++) {",
            f"    for (ptrdiff_t j = 0; j + WIDTH <= {width}; j += WIDTH)",
            f"        {name}(j, WIDTH{values});",
            f"    if ({width} % WIDTH)",
            f"        {name}({width} - {width} % WIDTH, {width} % WIDTH{values});",
            "}",
        ]

    def _total(self, step: Step, given: dict[str, tuple[str, str]]) -> str:
        """A sum over rows and time, as a parameter of a pass: each thread has its own, in two parts.

        The rows of a step are added up before they are added to those of other steps, as long sums lose digits.
        """
        kernel = self.kernel
        width = row_width(step.values[0].type)
        alike = [item.result for item in kernel.totals.values() if row_width(item.values[0].type) == width]
        if width not in self.totals:
            name = self.totals[width] = kernel.names.claim("totals")
            kernel.head.add(f"{name} = np.zeros((threads, 2, {len(alike)}, {width}), dtype)")
            kernel.tail.add(f"{name} = {name}[:, 0].sum(0)")
            self.flushes.append(f"add_up({self._setup_argument(name)} + part * {2 * len(alike) * width}, {len(alike) * width});")
        index = alike.index(step.result)
        for count, gradient in enumerate(kernel.finals.get(step.result, [])):
            lane = f"{self.totals[width]}[{index}]" if step.result.type.rank else f"{self.totals[width]}[{index}, 0]"
            kernel.tail.add(f"{gradient} = {lane}{'.copy()' if count or not step.result.type.rank else ''}")
        text = f"total_{index}_{width}"
        given[text] = ("real", f"{self._setup_argument(self.totals[width])} + ((part * 2 + 1) * {len(alike)} + {index}) * {width}")
        return text

    def _given(self, place: Place, width: int, given: dict[str, tuple[str, str]]) -> str:
        """A pointer to a row, as a parameter of a pass."""
        pointer = self.pointers.name(place)
        own = row_width(place.slab.type)
        given[pointer] = (c_type(place.slab), f"{pointer} + n * {own}")
        return pointer

    def _operand(
        self, item: Operand, step: Step, width: int, known: dict[Value, str], given: dict[str, tuple[str, str]], lines: list[str]
    ) -> str:
        if not isinstance(item, Value):
            finite = item == item and abs(item) != float("inf")
            return f"splat((real){number(item) if finite else 'NAN' if item != item else '-INFINITY' if item < 0 else 'INFINITY'})"
        if item not in known:
            truth = item.type.dtype is DType.bool
            if self.level[item] == SETUP:
                start, own = self.setup.add_vector(item), (item.type.shape[-1].constant if item.type.rank else 1)
                pointer = f"w{start}"
                given[pointer] = ("const real", f"packed + {start}")
            else:
                pointer, own = self._given(self.places[item], width, given), row_width(item.type)
            suffix = "_truth" * truth
            text = f"load{suffix}({pointer} + j, count)" if own == width else f"splat{suffix}({pointer}[0])"
            known[item] = f"v{len(known)}"
            lines.append(f"{'mask' if truth else 'vec'} {known[item]} = {text};")
        return known[item]

    def _expression(self, step: Step, operands: list[str]) -> str:
        name = RENAMED.get(step.function, step.function)
        kinds = [isinstance(item, Value) and item.type.dtype is DType.bool for item in step.operands]
        logical = name.startswith("logical_")
        wanted = [index == 0 if name == "where" else logical for index in range(len(kinds))]
        texts = [
            text if kind == truth else f"truths({text})" if truth else f"numbers({text})"
            for text, kind, truth in zip(operands, kinds, wanted, strict=True)
        ]
        if name == "where":
            return f"choose({', '.join(texts)})"
        return OPERATORS[name].format(*texts) if name in OPERATORS else f"v_{name}({', '.join(texts)})"
