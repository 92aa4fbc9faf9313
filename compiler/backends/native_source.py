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

from compiler.backends.native_kernels import SINGLE
from compiler.backends.scan_frame import number
from compiler.backends.scan_kernels import Kernel
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Place, Slab
from compiler.ir.graph import Value
from compiler.ir.types import DType, TensorType
from compiler.passes.scan_algebra import SETUP
from compiler.passes.scan_steps import TRUTHS, Operand, Step, Unsupported

OPERATORS: Final = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "greater": "{} > {}",
    "less": "{} < {}",
    "greater_equal": "{} >= {}",
    "less_equal": "{} <= {}",
    "equal": "{} == {}",
    "not_equal": "{} != {}",
    "logical_and": "{} & {}",
    "logical_or": "{} | {}",
    "logical_not": "~{}",
}
RENAMED: Final = {"absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctanh": "atanh"}
OWN: Final = {"abs", "negative", "copysign", "exp", "tanh", "square", "reciprocal", "sign", "maximum", "minimum", "power"}
SIZES: Final = ("T", "N", "chunk", "span", "keep", "start", "base", "count")


@final
@dataclass(slots=True)
class NativeText:
    """The C functions of a scan without what all share, and by name how many arrays they take."""

    stem: str
    functions: list[str] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def print_loop(self, kernel: Kernel, moves: Iterable[tuple[Place, Place]]) -> None:
        """Print a loop: a C function here, and its call into the kernel."""
        _Loop(kernel, self, tuple(moves)).print()


@final
@dataclass(slots=True)
class _Stage:
    """A product of several lanes, or element-wise steps of one width."""

    steps: list[Step]
    width: int
    product: bool
    packs: tuple[int, ...] = ()


def _width(type: TensorType) -> int:
    """How many numbers an example has; raises Unsupported where they are no row."""
    inner = [dim.constant for dim in type.shape[1:]]
    if len(inner) > 1 or None in inner or not type.shape or not (type.dtype is DType.f32 or type.dtype is DType.bool):
        raise Unsupported(f"values of the shape {type}")
    return inner[0] if inner and inner[0] is not None else 1


@final
class _Loop:
    def __init__(self, kernel: Kernel, text: NativeText, moves: tuple[tuple[Place, Place], ...]) -> None:
        self.kernel = kernel
        self.text = text
        self.moves = moves
        self.places = kernel.memory.places
        self.level = kernel.program.level
        self.arguments: dict[str, str] = {}
        self.pointers: dict[Place, str] = {}
        self.work = 0
        self._vectors: dict[str, str] = {}
        self.stages = self._cut()
        self.stored = self._find_stored()

    # what is done ---------------------------------------------------------------------------------------------------------

    def _cut(self) -> list[_Stage]:
        """The loop as stages, in the order of its calls."""
        stages: list[_Stage] = []
        for run in self.kernel.memory.runs:
            first = run.steps[0]
            width = _width(first.result.type)
            if first.function in ("matmul", "contract"):
                for step in run.steps:
                    self._check_product(step)
                stages.append(_Stage(list(run.steps), width, True))
                continue
            for step in run.steps:
                self._check(step, width)
                if not stages or stages[-1].product or stages[-1].width != width:
                    stages.append(_Stage([], width, False))
                stages[-1].steps.append(step)
        return stages

    def _check_product(self, step: Step) -> None:
        for left, right in zip(step.values[::2], step.values[1::2], strict=True):
            floats = left.type.dtype is DType.f32 and right.type.dtype is DType.f32
            sizes = [dim.constant for dim in right.type.shape]
            fits = left.type.rank == 2 and len(sizes) == 2 and None not in sizes
            if not floats or not fits or self.level[right] != SETUP or self.level[left] == SETUP:
                raise Unsupported("a product of anything but rows by weights")

    def _check(self, step: Step, width: int) -> None:
        name = RENAMED.get(step.function, step.function)
        if name not in OPERATORS and name not in OWN and name not in SINGLE and name != "where":
            raise Unsupported(f"`{step.function}` in the loop")
        for value in step.values:
            if self.level[value] == SETUP:
                sizes = [dim.constant for dim in value.type.shape]
                if value.type.dtype is not DType.f32 or any(size != 1 for size in sizes[:-1]) or sizes[-1:] not in ([], [1], [width]):
                    raise Unsupported(f"weights of the shape {value.type}")
            elif _width(value.type) not in (1, width):
                raise Unsupported(f"values of the shape {value.type}")

    def _find_stored(self) -> set[Value]:
        """The values of element-wise stages that something reads in memory: a later stage, the next step, or what follows the loop."""
        made: dict[Value, int] = {}
        stored: set[Value] = set()
        for index, stage in enumerate(self.stages):
            for step in stage.steps:
                stored.update(value for value in step.values if made.get(value, index) != index)
                made[step.result] = index
        last = {self.places[step.result]: step.result for stage in self.stages for step in stage.steps}
        moved = {source for _, source in self.moves}
        kept = (value for place, value in last.items() if place.slab.scope != STEP or place.slab.given or place in moved)
        return stored | set(kept)

    # text -----------------------------------------------------------------------------------------------------------------

    def print(self) -> None:
        kernel = self.kernel
        body: list[str] = []
        helpers: list[str] = []
        name = f"{self.text.stem}_{'backward' if kernel.backward else 'forward'}_steps"
        for index, stage in enumerate(self.stages):
            body += self._print_product(stage) if stage.product else self._print_pass(f"{name}_{index}", stage, helpers)
        for target, source in self.moves:
            width = _width(target.slab.type)
            to, origin = self._pointer(target), self._pointer(source)
            body.append(f"memcpy({to} + first * {width}, {origin} + first * {width}, (size_t)((last - first) * {width}) * sizeof(*{to}));")
        if not body:
            return
        arrays = "".join(f", {self._c_type(slab)} *{text}" for slab, text in self._slabs())
        setup = "".join(f", real *{text}" for text in self.arguments.values())
        sizes = "".join(f", ptrdiff_t {size}" for size in SIZES)
        pointers = [self._print_pointer(place, text) for place, text in self.pointers.items()]
        direction = "t = count - 1; t >= 0; t--" if kernel.backward else "t = 0; t < count; t++"
        lines = [f"void {name}(ptrdiff_t first, ptrdiff_t last{sizes}{arrays}{setup})", "{"]
        lines += [f"    (void){size};" for size in SIZES]
        lines += [f"    for (ptrdiff_t {direction}) {{", *("        " + line for line in (*pointers, *body)), "    }", "}"]
        self.text.functions.append("\n\n".join([*helpers, "\n".join(lines)]) + "\n")
        self.text.names[name] = len(self._slabs()) + len(self.arguments)
        self._print_call(name)

    def _print_call(self, name: str) -> None:
        kernel = self.kernel
        texts = [*(kernel.arrays[slab] for slab, _ in self._slabs()), *self.arguments]
        kernel.static.append(f"addresses = array_addresses({', '.join(texts)})")
        brief = [slab for slab in kernel.memory.slabs if slab.scope == WHOLE and slab not in kernel.always | kernel.brief]
        short = bool(brief) and not kernel.backward
        known = {"span": short, "base": short, "keep": not kernel.backward}
        sizes = ", ".join(size if known.get(size, True) else "0" for size in SIZES)
        kernel.body.add(f"run_rows({name}, N, {self.work} * count, ({sizes}), addresses)")

    def _slabs(self) -> list[tuple[Slab, str]]:
        slabs = dict.fromkeys(place.slab for place in self.pointers)
        return [(slab, f"array_{index}") for index, slab in enumerate(slabs)]

    @staticmethod
    def _c_type(slab: Slab) -> str:
        return "uint8_t" if slab.type.dtype is DType.bool else "real"

    def _pointer(self, place: Place) -> str:
        return self.pointers.setdefault(place, f"p{len(self.pointers)}")

    def _print_pointer(self, place: Place, text: str) -> str:
        """The place of a value in step t, as a pointer to its first row."""
        kernel, slab = self.kernel, place.slab
        name = dict(self._slabs())[slab]
        width = _width(slab.type)
        if slab.scope == STEP:
            index = str(place.lane)
        elif slab.scope == CHUNK:
            index = f"{place.lane} * chunk + t"
        elif slab in kernel.brief:
            index = f"(keep ? {place.lane} * T + start + t : {place.lane})"
        else:
            whole = kernel.backward or slab in kernel.always or slab.given
            steps, first = ("T", "start") if whole else ("span", "base")
            index = f"{place.lane} * ({steps} + {slab.slots}) + {first} + t + {place.shift}"
        return f"{self._c_type(slab)} *{text} = {name} + ({index}) * N * {width};"

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
        kernel = self.kernel
        made = kernel.pack(weights, 2, product=True)
        panels = kernel.names.claim("panels")
        kernel.head.add(f"{panels} = pack_panels({self.text.stem}_pack_weights, {made}, {lanes}, {factors}, {inner}, {outer}, empty)")
        lefts = ", ".join(self._pointer(self.places[left]) for left, _ in pairs)
        outs = ", ".join(self._pointer(self.places[step.result]) for step in stage.steps)
        call = f"first, last, {lanes}, {factors}, {inner}, {outer}, left, out, {self._setup_argument(panels)}"
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

    def _given(self, place: Place, width: int, given: dict[str, tuple[str, str]]) -> str:
        """A pointer to a row, as a parameter of a pass."""
        pointer = self._pointer(place)
        own = _width(place.slab.type)
        given[pointer] = (self._c_type(place.slab), f"{pointer} + n * {own}")
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
                pointer, own = self._setup(item), (item.type.shape[-1].constant if item.type.rank else 1)
                given[pointer] = ("const real", pointer)
            else:
                pointer, own = self._given(self.places[item], width, given), _width(item.type)
            suffix = "_truth" * truth
            text = f"load{suffix}({pointer} + j, count)" if own == width else f"splat{suffix}({pointer}[0])"
            known[item] = f"v{len(known)}"
            lines.append(f"{'mask' if truth else 'vec'} {known[item]} = {text};")
        return known[item]

    def _setup(self, value: Value) -> str:
        """Weights that every row has: an array of their own, as they may be a view."""
        kernel = self.kernel
        key = f"{kernel.setup_text(value)}"
        if key not in self._vectors:
            self._vectors[key] = kernel.names.claim("vector")
            kernel.head.add(f"{self._vectors[key]} = np.ascontiguousarray({key}, dtype)")
        return self._setup_argument(self._vectors[key])

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
        made = OPERATORS[name].format(*texts) if name in OPERATORS else f"v_{name}({', '.join(texts)})"
        if (step.result.type.dtype is DType.bool) != (step.function in TRUTHS):
            raise Unsupported(f"`{step.function}` of truth values")
        return made
