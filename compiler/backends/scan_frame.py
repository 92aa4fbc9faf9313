"""The frame of a printed scan: names, sizes, slabs and the views of them, weights laid out for the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from compiler.backends.names import Names, identifier
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Memory, Place, Slab
from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.op import Code, emitted
from compiler.ir.types import DType, TensorType
from compiler.passes.scan_algebra import Program
from compiler.passes.scan_steps import Operand, SizedLowering, Step

if TYPE_CHECKING:
    import numpy as np

    from compiler.backends.native_source import NativeText


@final
@dataclass(slots=True)
class Lines:
    """Statements with their indentation."""

    depth: int = 1
    text: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.text.append("    " * self.depth + line)


class Frame:
    """Abstract: one function while it is printed, all but the statements of its loops.

    `always` are slabs of results, which hold every step; `brief` ones hold every step only where the backward pass follows, and are
    read in the loop alone. `base` names the index of a chunk's first step in the other slabs, which may hold one chunk. `native` prints the
    loop in C where it is given, and makes `totals` and `outers` for `finals`; `early` values may be made
    for several steps at once.
    """

    def __init__(self, program: Program, taken: Iterable[str], entries: dict[Value, str], *, backward: bool, tensors: bool) -> None:
        self.program = program
        self.memory = Memory()
        self.names = Names({*taken, "T", "N", "chunk", "start", "stop", "count", "rows", "keep", "base", "span", "first", "dtype"})
        self.backward = backward
        self.tensors = tensors
        self.head, self.body, self.tail = Lines(), Lines(2), Lines()
        self.used: dict[str, Callable[..., Any]] = {}
        self.sizes = {BATCH: "N"}
        self.entries = entries
        self.arrays: dict[Slab, str] = {}
        self.texts: dict[Value, str] = {}
        self._views: dict[tuple[Slab, int, int, int], str] = {}
        self._matrices: dict[tuple[Slab, int, int, int, int], str] = {}
        self._loop: list[tuple[str, str]] = []
        self.static: list[str] = []
        self._packs: dict[tuple[object, ...], str] = {}
        self._setup = {step.result: step for step in program.setup}
        self._free: dict[TensorType, list[str]] = {}
        self._borrowed: dict[Value, str] = {}
        self.native: NativeText | None = None
        self.totals: Mapping[Value, Step] = {}
        self.outers: Mapping[Value, Step] = {}
        self.finals: Mapping[Value, list[str]] = {}
        self.early: set[Value] = set()
        self.always: set[Slab] = set()
        self.brief: set[Slab] = set()

    # names and shapes ---------------------------------------------------------------------------------------------------

    def name_of(self, value: Value, otherwise: str = "part") -> str:
        return identifier(self.entries.get(value, otherwise))

    def dtype(self, dtype: DType) -> str:
        return "dtype" if dtype is DType.f32 else f"np.{'bool_' if dtype is DType.bool else dtype.numpy_name}"

    def shape(self, type: TensorType, *before: str, batch: str | None = None) -> str:
        dims = [dim.python({**self.sizes, BATCH: batch or "N"}) for dim in type.shape]
        listed = [*before, *dims]
        return f"({', '.join(listed)}{',' * (len(listed) == 1)})"

    def declare(self, slab: Slab, name: str) -> str:
        self.arrays[slab] = self.names.claim(name)
        return self.arrays[slab]

    def allocate(self, slab: Slab) -> None:
        """The statement that makes a slab; results are new, the rest is what `empty` gives."""
        lanes = [str(slab.lanes)] * (slab.lanes > 1)
        result = slab in self.always or (self.backward and slab.scope == WHOLE)
        if slab.scope == WHOLE:
            span = "T" if result or slab in self.brief else "span"
            lanes.append(f"{span} + 1" if slab.slots else span)
        elif slab.scope == CHUNK:
            lanes.append("chunk")
        arguments = f"{self.shape(slab.type, *lanes)}, {self.dtype(slab.type.dtype)}"
        if slab in self.brief:
            name, axis = self.arrays[slab], int(slab.lanes > 1)
            self.head.add(f"{name} = empty({self.shape(slab.type, *lanes[:-1], 'T if keep else 1')}, {self.dtype(slab.type.dtype)})")
            if self.native is None:
                self.used["same_each_step"] = same_each_step
                self.head.add(f"{name} = {name} if keep else same_each_step({name}, T, {axis})")
        else:
            self.head.add(f"{self.arrays[slab]} = {'np.' * result}empty({arguments})")

    # views --------------------------------------------------------------------------------------------------------------

    def _span(self, slab: Slab, shift: int) -> str:
        """The chunk's slots of a slab, as a slice."""
        if slab.scope == CHUNK:
            return ":count"
        whole = self.backward or slab in self.always or slab in self.brief
        low, high = ("start", "stop") if whole else ("base", "base + count")
        return f"{low} + 1 : {high} + 1" if shift else f"{low} : {high}" if " " in high else f"{low}:{high}"

    def chunk_view(self, place: Place, count: int = 1) -> str:
        """Lanes of a slab in a chunk, with steps and examples as one axis."""
        slab = place.slab
        lane = "" if slab.lanes == 1 else f"{place.lane}, " if count == 1 else f"{place.lane}:{place.lane + count}, "
        shape = self.shape(slab.type, *([str(count)] * (count > 1)), batch="rows")
        return f"{self.arrays[slab]}[{lane}{self._span(slab, place.shift)}].reshape{shape if slab.type.rank > 1 or count > 1 else '(rows)'}"

    def loop_view(self, place: Place, count: int = 1) -> str:
        """The variable that holds lanes of a slab in one step."""
        key = (place.slab, place.lane, count, place.shift)
        if key not in self._views:
            self._views[key] = self._new_view(place, count)
        return self._views[key]

    def _new_view(self, place: Place, count: int) -> str:
        slab = place.slab
        array = self.arrays[slab]
        if slab.scope == STEP:
            if slab.lanes == count:
                return array
            lane = str(place.lane) if count == 1 else f"{place.lane}:{place.lane + count}"
            name = self.names.claim(f"{array}_{place.lane}")
            self.static.append(f"{name} = {array}[{lane}]")
            return name
        source = f"{self._source(place, count)}{'[::-1]' * self.backward}"
        suffix = "_next" if place.shift else "_t"
        name = self.names.claim(f"{array}_{place.lane}{suffix}" if slab.lanes > count else f"{array}{suffix}")
        self._loop.append((name, source))
        return name

    def _source(self, place: Place, count: int) -> str:
        """Lanes of a slab, step by step through the chunk."""
        slab = place.slab
        lane = "" if slab.lanes == 1 else f"{place.lane}, " if count == 1 else f"{place.lane}:{place.lane + count}, "
        return f"{self.arrays[slab]}[{lane}{self._span(slab, place.shift)}]{'.swapaxes(0, 1)' if count > 1 else ''}"

    def matrix_view(self, place: Place, lanes: int, *, shared: bool) -> str:
        """The variable that holds an operand or result of a product in one step, `shared` where one lane meets several weights."""
        count = 1 if shared else lanes
        if not self.tensors:
            return self.loop_view(place, count)
        key = (place.slab, place.lane, count, place.shift, lanes)
        if key not in self._matrices:
            name = self.names.claim(f"{self.arrays[place.slab]}_matrix")
            if place.slab.scope == STEP:
                self.static.append(f"{name} = fixed({self.loop_view(place, count)}, {lanes})")
            else:
                self._loop.append((name, f"steps({self._source(place, count)}, {lanes}){'[::-1]' * self.backward}"))
            self._matrices[key] = name
        return self._matrices[key]

    # weights ------------------------------------------------------------------------------------------------------------

    def setup_text(self, value: Value) -> str:
        """The variable or expression of a value made of parameters alone."""
        if value in self.texts:
            return self.texts[value]
        step = self._setup[value]
        if step.function == "transpose":
            return f"{self.setup_text(step.values[0])}.T"
        name = self.texts[value] = self.names.claim(self.name_of(value, "weight"))
        if step.function == "text":
            assert step.node is not None
            text = step.node.op.numpy(SizedLowering(step.node, self.sizes, self.used), *map(Code, map(self._setup_operand, step.operands)))
            self.head.add(f"{name} = {text}")
        else:
            self.head.add(f"{name} = {self._call(step, [self._setup_operand(item) for item in step.operands], '')}")
        return name

    def _setup_operand(self, operand: Operand) -> str:
        return self.setup_text(operand) if isinstance(operand, Value) else number(operand)

    def pack(self, values: list[Value], rank: int, *, product: bool) -> str:
        """The variable of weights stacked in order and repeated for each example, or laid out for products.

        `rank` is that of the result's step.
        """
        if len(values) == 1 and not product and rank < 2:
            return self.setup_text(values[0])
        key = (*values, rank, product)
        if key not in self._packs:
            self._packs[key] = self._new_pack(values, rank, product)
        return self._packs[key]

    def _new_pack(self, values: list[Value], rank: int, product: bool) -> str:
        type = values[0].type
        name = self.names.claim("weights" if product else "scales")
        lanes = [str(len(values))] if len(values) > 1 or (product and self.tensors and rank == 2) else []
        repeated = ["1"] * (rank - type.rank) if product and lanes else []
        if not product and type.rank < rank:
            repeated = ["N", *["1"] * (rank - 1 - type.rank)]
        self.head.add(f"{name} = empty({self.shape(type, *lanes, *repeated)}, {self.dtype(type.dtype)})")
        if product and self.tensors and rank == 2 and self.native is None:
            self.static.append(f"{name}_matrix = fixed({name}, {len(values)})")
        for lane, value in enumerate(values):
            inner = ["0"] * len(repeated) if product else []
            target = f"{name}[{', '.join([str(lane), *inner])}]" if lanes else name
            step = self._setup.get(value)
            if value in self.texts or step is None or step.function in ("text", "transpose", "where"):
                self.head.add(f"np.copyto({target}, {self.setup_text(value)})")
            else:
                operands = [self._setup_operand(item) for item in step.operands]
                self.head.add(self._call(step, operands, target))
        return name

    def _call(self, step: Step, operands: list[str], out: str) -> str:
        """A call of an element-wise function or of a product; without `out` an expression. Extrema take `out` by keyword alone."""
        place = f"out={out}" if step.function in ("maximum", "minimum") else out
        return f"np.{step.function}({', '.join([*operands, *([place] if out else [])])})"


@emitted
def same_each_step(array: np.ndarray, steps: int, axis: int) -> np.ndarray:
    """An array with one step along `axis` as one with `steps`, all in the same memory."""
    shape, strides = list(array.shape), list(array.strides)
    shape[axis], strides[axis] = steps, 0
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def number(value: float) -> str:
    """A number as Python writes it; numbers that are not finite by name."""
    if value != value or value in (float("inf"), float("-inf")):
        return f"float({str(value)!r})"
    return repr(value)
