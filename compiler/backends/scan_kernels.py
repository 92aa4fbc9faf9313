"""Prints a planned scan as two NumPy functions, forward and backward, whose loops over time allocate nothing.

Arrays are time-major, [T, N, …]. Time is cut into chunks, so that what is done for many steps at once stays in the cache and needs
little memory: a chunk's products come first, then its steps, then its sums. `keep` says whether the backward pass will follow; if
not, what only it needs is overwritten chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, final

from compiler.backends.names import Names, identifier
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Memory, Place, Run, Slab
from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.op import Code
from compiler.ir.types import DType, TensorType
from compiler.passes.scan_algebra import SETUP, Program
from compiler.passes.scan_steps import Operand, SizedLowering, Step

ROWS: Final = 512
"""How many examples times steps a chunk has at least, so that its products are as fast as one large product."""
STEPS: Final = 16
"""How many steps a chunk has at least, so that calls for a whole chunk weigh little against calls for each step."""


@final
@dataclass(slots=True)
class Lines:
    """Statements with their indentation."""

    depth: int = 1
    text: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.text.append("    " * self.depth + line)


@final
class Kernel:
    """One function while it is printed. `base` names the index of the chunk's first step in slabs that may be short."""

    def __init__(self, program: Program, taken: Iterable[str], entries: dict[Value, str], *, backward: bool) -> None:
        self.program = program
        self.memory = Memory()
        self.names = Names({*taken, "T", "N", "chunk", "start", "stop", "count", "rows", "keep", "base", "span", "first", "dtype"})
        self.backward = backward
        self.head, self.body = Lines(), Lines(2)
        self.used: dict[str, Callable[..., Any]] = {}
        self.sizes = {BATCH: "N"}
        self.entries = entries
        self.arrays: dict[Slab, str] = {}
        self.texts: dict[Value, str] = {}
        self._views: dict[tuple[Slab, int, int, int], str] = {}
        self._loop: list[tuple[str, str]] = []
        self.static: list[str] = []
        self._packs: dict[tuple[object, ...], str] = {}
        self._setup = {step.result: step for step in program.setup}
        self._free: dict[TensorType, list[str]] = {}
        self._borrowed: dict[Value, str] = {}
        self.always: set[Slab] = set()

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
        """The statement that makes a slab."""
        lanes = [str(slab.lanes)] * (slab.lanes > 1)
        if slab.scope == WHOLE:
            span = "T" if slab in self.always or self.backward else "span"
            lanes.append(f"{span} + 1" if slab.slots else span)
        elif slab.scope == CHUNK:
            lanes.append("chunk")
        self.head.add(f"{self.arrays[slab]} = np.empty({self.shape(slab.type, *lanes)}, {self.dtype(slab.type.dtype)})")

    # views --------------------------------------------------------------------------------------------------------------

    def _span(self, slab: Slab, shift: int) -> str:
        """The chunk's slots of a slab, as a slice."""
        if slab.scope == CHUNK:
            return ":count"
        low, high = ("start", "stop") if self.backward or slab in self.always else ("base", "base + count")
        return f"{low} + 1 : {high} + 1" if shift else f"{low}:{high}"

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
        lane = "" if slab.lanes == 1 else f"{place.lane}, " if count == 1 else f"{place.lane}:{place.lane + count}, "
        source = f"{array}[{lane}{self._span(slab, place.shift)}]{'.swapaxes(0, 1)' if count > 1 else ''}{'[::-1]' * self.backward}"
        suffix = "_next" if place.shift else "_t"
        name = self.names.claim(f"{array}_{place.lane}{suffix}" if slab.lanes > count else f"{array}{suffix}")
        self._loop.append((name, source))
        return name

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
        """The variable of weights stacked in order, or of one laid out for products; `rank` is that of the result's step."""
        if len(values) == 1 and not product:
            return self.setup_text(values[0])
        key = (*values, rank, product)
        if key not in self._packs:
            self._packs[key] = self._new_pack(values, rank, product)
        return self._packs[key]

    def _new_pack(self, values: list[Value], rank: int, product: bool) -> str:
        type = values[0].type
        name = self.names.claim("weights" if product else "scales")
        lanes = [str(len(values))] if len(values) > 1 else []
        ones = ["1"] * (rank - type.rank) if lanes else []
        self.head.add(f"{name} = np.empty({self.shape(type, *lanes, *ones)}, {self.dtype(type.dtype)})")
        for lane, value in enumerate(values):
            target = f"{name}[{', '.join([str(lane), *['0'] * len(ones)])}]" if lanes else name
            step = self._setup.get(value)
            if value in self.texts or step is None or step.function in ("text", "transpose", "where"):
                self.head.add(f"np.copyto({target}, {self.setup_text(value)})")
            else:
                operands = [self._setup_operand(item) for item in step.operands]
                self.head.add(self._call(step, operands, target))
        return name

    # statements -----------------------------------------------------------------------------------------------------------

    def _call(self, step: Step, operands: list[str], out: str) -> str:
        """A call of an element-wise function, of a product; without `out` an expression."""
        return f"np.{step.function}({', '.join([*operands, *([out] if out else [])])})"

    def write(self, lines: Lines, step: Step, operands: list[str], out: str, batch: str) -> None:
        """The statements of one call into `out`; `batch` is the text of the number of examples."""
        if step.function == "where":
            condition, chosen, other = operands
            lines.add(f"np.copyto({out}, {other})")
            lines.add(f"np.copyto({out}, {chosen}, where={condition})")
        elif step.function == "text":
            lines.add(f"np.copyto({out}, {self._text(step, operands, batch)})")
        else:
            lines.add(self._call(step, operands, out))

    def _text(self, step: Step, operands: list[str], batch: str) -> str:
        assert step.node is not None
        lowering = SizedLowering(step.node, {**self.sizes, BATCH: batch}, self.used)
        return step.node.op.numpy(lowering, *map(Code, operands))

    def print_loop(self, moves: Iterable[tuple[Place, Place]] = ()) -> None:
        """The steps of the loop, into `body`; `moves` are copies at the end of each step, to and from."""
        inner = Lines(self.body.depth + 1)
        for run in self.memory.runs:
            if run.steps[0].function == "contract":
                self._print_contract(inner, run.steps[0])
            else:
                self._print_run(inner, run)
        for target, source in moves:
            inner.add(f"np.copyto({self.loop_view(target)}, {self.loop_view(source)})")
        if not inner.text:
            return
        if self._loop:
            names = ", ".join(name for name, _ in self._loop)
            self.body.add(f"for {names}{',' * (len(self._loop) == 1)} in zip(")
            for _, source in self._loop:
                self.body.add(f"    {source},")
            self.body.add("    strict=False,")
            self.body.add("):")
        else:
            self.body.add("for _ in range(count):")
        self.body.text += inner.text

    def _print_run(self, lines: Lines, run: Run) -> None:
        first, count = run.steps[0], len(run.steps)
        rank = first.result.type.rank
        operands = []
        for position, item in enumerate(first.operands):
            items = [step.operands[position] for step in run.steps]
            if not isinstance(item, Value):
                operands.append(number(item))
            elif self.program.level[item] == SETUP:
                product = first.function == "matmul" and position == 1
                values = [value for value in items if isinstance(value, Value)] if position in run.packs else [item]
                operands.append(self.pack(values, max(rank, 2) if product else rank, product=product))
            else:
                shared = len(set(items)) == 1
                operands.append(self.loop_view(self.memory.places[item], 1 if shared else count))
        self.write(lines, first, operands, self.loop_view(self.memory.places[first.result], count), "N")

    def _print_contract(self, lines: Lines, step: Step) -> None:
        """A sum of products: neighbouring left operands in one call, then added up."""
        pairs = list(zip(step.values[::2], step.values[1::2], strict=True))
        order: dict[Slab, int] = {}
        for left, _ in pairs:
            order.setdefault(self.memory.places[left].slab, len(order))
        pairs.sort(key=lambda pair: (order[self.memory.places[pair[0]].slab], self.memory.places[pair[0]].lane))
        parts: list[list[tuple[Value, Value]]] = []
        for pair in pairs:
            place = self.memory.places[pair[0]]
            before = self.memory.places[parts[-1][-1][0]] if parts else None
            joined = before is not None and before.slab is place.slab and before.lane + 1 == place.lane and before.shift == place.shift
            if joined:
                parts[-1].append(pair)
            else:
                parts.append([pair])
        out = self.loop_view(self.memory.places[step.result])
        for index, part in enumerate(parts):
            left = self.loop_view(self.memory.places[part[0][0]], len(part))
            weight = self.pack([value for _, value in part], step.result.type.rank, product=True)
            if len(part) == 1 and index == 0:
                lines.add(f"np.matmul({left}, {weight}, {out})")
                continue
            scratch = self._scratch(step.result.type, len(part))
            lines.add(f"np.matmul({left}, {weight}, {scratch})")
            if len(part) > 1:
                total = out if index == 0 else f"{scratch}[0]"
                lines.add(f"np.add.reduce({scratch}, 0, None, {total})")
                scratch = total
            if index:
                lines.add(f"np.add({out}, {scratch}, {out})")

    def _scratch(self, type: TensorType, lanes: int) -> str:
        slab = Slab(type, lanes, STEP, "products")
        name = self.declare(slab, "products")
        self.allocate(slab)
        return name

    # chunks -----------------------------------------------------------------------------------------------------------------

    def print_chunk(self, steps: list[Step], ends: dict[Value, int], offset: int, finals: dict[Value, list[str]]) -> None:
        """Steps for all time steps of a chunk. `ends` are the last uses of values; `finals` are sums over everything, by value."""
        for index, step in enumerate(steps, start=offset):
            value = step.result
            if step.function == "transpose":
                self.texts[value] = f"{self.operand(step.operands[0])}.T"
                for array in finals.get(value, []):
                    self.body.add(f"{array} += {self.texts[value]}")
                continue
            operands = [self.operand(item) for item in step.operands]
            if not any(BATCH in dim.symbols for dim in value.type.shape[:1]):
                self._print_total(step, operands, finals.get(value, []), alone=value not in ends)
                continue
            out = self._target(step, index, ends)
            if step.function == "contract":
                self._add_products(step, operands, out)
            else:
                self.write(self.body, step, operands, out, "rows")
            for item in {*step.values, value}:
                if ends.get(item, -1) <= index and item in self._borrowed:
                    self._free.setdefault(item.type, []).append(self._borrowed.pop(item))

    def operand(self, operand: Operand) -> str:
        """A value in a chunk."""
        if not isinstance(operand, Value):
            return number(operand)
        if operand in self.texts:
            return self.texts[operand]
        if self.program.level.get(operand) == SETUP:
            return self.setup_text(operand)
        name = self.texts[operand] = self.names.claim(f"{self.name_of(operand, operand.name)}_chunk")
        self.body.add(f"{name} = {self.chunk_view(self.memory.places[operand])}")
        return name

    def _target(self, step: Step, index: int, ends: dict[Value, int]) -> str:
        value = step.result
        if value in self.memory.places:
            return self.operand(value)
        if step.is_elementwise and step.function != "where":
            for item in step.values:
                if ends.get(item) == index and item in self._borrowed and item.type == value.type:
                    self._borrowed[value] = self._borrowed.pop(item)
                    self.texts[value] = self.texts[item]
                    return self.texts[value]
        free = self._free.get(value.type, [])
        array = free.pop() if free else self._new_buffer(value.type)
        self._borrowed[value] = array
        name = self.texts[value] = self.names.claim(f"{self.name_of(value, value.name)}_chunk")
        self.body.add(f"{name} = {array}[:count].reshape{self.shape(value.type, batch='rows') if value.type.rank > 1 else '(rows)'}")
        return name

    def _new_buffer(self, type: TensorType) -> str:
        slab = Slab(type, 1, CHUNK, "buffer")
        name = self.declare(slab, "buffer")
        self.allocate(slab)
        return name

    def _add_products(self, step: Step, operands: list[str], out: str) -> None:
        self.body.add(f"np.matmul({operands[0]}, {operands[1]}, {out})")
        if len(operands) == 2:
            return
        array = self._new_buffer(step.result.type)
        scratch = self.names.claim("products_chunk")
        self.body.add(f"{scratch} = {array}[:count].reshape{self.shape(step.result.type, batch='rows')}")
        for left, right in zip(operands[2::2], operands[3::2], strict=True):
            self.body.add(f"np.matmul({left}, {right}, {scratch})")
            self.body.add(f"np.add({out}, {scratch}, {out})")
        self._free.setdefault(step.result.type, []).append(array)

    def _print_total(self, step: Step, operands: list[str], finals: list[str], *, alone: bool) -> None:
        """A value without examples, summed over those of the chunk; `finals` are the arrays that collect it."""
        text = self._text(step, operands, "rows") if step.function == "text" else self._call(step, operands, "")
        if finals and alone and step.function == "matmul":
            scratch = self.names.claim("total")
            self.head.add(f"{scratch} = np.empty_like({finals[0]})")
            self.body.add(f"np.matmul({', '.join(operands)}, {finals[0]} if first else {scratch})")
            self.body.add("if not first:")
            self.body.add(f"    {finals[0]} += {scratch}")
            finals = finals[1:]
            if not finals:
                return
            text = self._call(step, operands, "")
        name = self.texts[step.result] = self.names.claim("total")
        self.body.add(f"{name} = {text}")
        for array in finals:
            self.body.add(f"{array} += {name}")


def number(value: float) -> str:
    """A number as Python writes it; numbers that are not finite by name."""
    if value != value or value in (float("inf"), float("-inf")):
        return f"float({str(value)!r})"
    return repr(value)

