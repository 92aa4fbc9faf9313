"""The forward function of a scan, and what both functions share: arguments, sizes, slabs, results."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from compiler.backends.names import docstring, identifier
from compiler.backends.native_program import Settled
from compiler.backends.scan_kernels import NUMBERS, STEPS, Kernel
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Place, Slab, place_loop
from compiler.ir.dims import Dim
from compiler.ir.graph import Value
from compiler.ir.types import DType, TensorType
from compiler.passes.scan_algebra import BEFORE, CARRIED, SETUP, Program
from compiler.passes.scan_plan import ScanPlan
from compiler.passes.scan_steps import Step

if TYPE_CHECKING:
    from compiler.backends.native_source import NativeText

NATIVE_NUMBERS: Final = 2**18
"""How many numbers of a state a chunk has at least where loops are C: little of a step is kept, and products outside them may be large."""


class Function:
    """Abstract: what both functions share."""

    def __init__(
        self, plan: ScanPlan, program: Program, reserved: set[str], *, backward: bool, tensors: bool, native: NativeText | None
    ) -> None:
        self.plan = plan
        settled = native.settle(program) if native is not None else Settled(program)
        self.program = settled.program
        entries = {value: name for name, value in plan.cell.graph.entries.items()}
        self.kernel = Kernel(self.program, reserved, entries, backward=backward, tensors=tensors)
        self.kernel.native, self.kernel.totals, self.kernel.outers = native, settled.totals, settled.outers

    def give(self, values: Iterable[Value], prefix: str = "") -> list[str]:
        """Arguments that are sequences, each a slab of its own."""
        made = []
        for value in values:
            slab = Slab(value.type, 1, WHOLE, given=True)
            self.kernel.always.add(slab)
            self.kernel.memory.places[value] = Place(slab, 0)
            made.append(self.kernel.declare(slab, prefix + value.name))
        return made

    def give_parameters(self) -> list[str]:
        """Arguments that are the cell's parameters, called as these."""
        texts = self.kernel.texts
        for key, value in self.plan.forward.parameters.items():
            texts[value] = self.kernel.names.claim(key)
        return [texts[value] for value in self.plan.forward.parameters.values()]

    def copy(self, operand: Value | float, type: TensorType, steps: list[Step], level: int) -> Value:
        """A new value equal to another, made by a step of its own."""
        fresh = Value(type, "copy")
        self.program.level[fresh] = level
        steps.append(Step("multiply", (operand, 1.0), fresh))
        return fresh

    def learn_sizes(self, sequence: str, arrays: dict[Value, str]) -> None:
        """Statements that read T, N and other open sizes off the arguments, and the dtype."""
        kernel = self.kernel
        kernel.head.add(f"T, N = {sequence}.shape[:2]")
        shifts = dict.fromkeys((*self.plan.forward.inputs, *self.plan.forward.masks), 1)
        for value, name in arrays.items():
            for axis, dim in enumerate(value.type.shape):
                for symbol in dim.symbols:
                    if symbol not in kernel.sizes and str(dim) == symbol:
                        kernel.sizes[symbol] = kernel.names.claim(symbol)
                        kernel.head.add(f"{kernel.sizes[symbol]} = {name}.shape[{axis + shifts.get(value, 0)}]")
        floats = [name for value, name in arrays.items() if value.type.dtype is DType.f32]
        kernel.head.add(f"dtype = {floats[0]}.dtype" if floats else "dtype = np.dtype(np.float32)")
        if kernel.tensors:
            kernel.head.add(f"product, steps, fixed, whole = scan_products(N * {self.largest_product()})")
        sizes = [math.prod(before.type.shape[1:], start=Dim.of(1)).constant or 1 for before, _ in self.plan.forward.states.values()]
        numbers = NUMBERS if kernel.native is None else NATIVE_NUMBERS
        kernel.head.add(f"chunk = min(T, max({STEPS}, {max(1, numbers // max(sizes))} // N))")

    def largest_product(self) -> str:
        """Multiply-adds an example needs in the loop for the products of one call, as text."""
        works = []
        for step in self.program.loop:
            values = step.values[1::2] if step.function == "contract" else step.values[1:2] if step.function == "matmul" else ()
            works += [math.prod(value.type.shape, start=Dim.of(1)) * len(values) for value in values]
            if step.function == "matmul":
                alike = [item for item in self.program.loop if item.function == "matmul" and item.operands[0] is step.operands[0]]
                works[-1] = works[-1] * len(alike)
        largest = max(works, key=lambda dim: dim.constant or 0, default=Dim.of(0))
        return f"({largest.python(self.kernel.sizes)})" if largest.constant is None else str(largest)

    def ends(self, wanted: Iterable[Value]) -> dict[Value, int]:
        """The last uses of values outside the loop; those in the loop come between."""
        found: dict[Value, int] = {}
        steps = [*self.program.before, *self.program.after]
        views: dict[Value, Value] = {}
        for index, step in enumerate(steps):
            for value in step.values:
                if step.function == "transpose":
                    views[step.result] = value
                found[value] = index
                while value in views:
                    value = views[value]
                    found[value] = index
        found.update(dict.fromkeys(wanted, len(steps)))
        return found

    def allocate(self) -> None:
        """The statements that make every slab which is not given."""
        kernel = self.kernel
        for slab in kernel.memory.slabs:
            if not slab.given and slab not in kernel.arrays:
                kernel.declare(slab, self.slab_name(slab))
        for slab in kernel.memory.slabs:
            if not slab.given:
                kernel.allocate(slab)

    def slab_name(self, slab: Slab) -> str:
        """Called after the entries whose values stand in it, where all do."""
        lanes: dict[int, str] = {}
        for value, place in self.kernel.memory.places.items():
            if place.slab is slab and value in self.kernel.entries:
                lanes[place.lane] = identifier(self.kernel.entries[value])
        if len(lanes) == slab.lanes and slab.lanes <= 6:
            return "_".join(lanes[lane] for lane in range(slab.lanes))
        return {STEP: "part", CHUNK: "lifted"}.get(slab.scope, "saved")


@final
class ForwardFunction(Function):
    """The function that runs a scan; `saved` are the slabs that it hands to the backward one, once printed."""

    def __init__(self, plan: ScanPlan, name: str, reserved: set[str], *, tensors: bool, native: NativeText | None = None) -> None:
        super().__init__(plan, plan.forward.program, reserved, backward=False, tensors=tensors, native=native)
        self.name = name
        self.saved: list[Slab] = []

    def print(self) -> str:
        _plan, kernel, forward = self.plan, self.kernel, self.plan.forward
        sequences = self.give([*forward.inputs, *forward.masks])
        kept: dict[Value, int] = {}
        states = {name: self._place_state(*pair) for name, pair in forward.states.items()}
        firsts = {name: kernel.names.claim(f"{identifier(name)}_first") for name in states}
        parameters = self.give_parameters()
        output = self._place_output(kept)
        saved = {value: self._keep(value, kept) for value in forward.saved}
        self._keep_after(kept)
        if kernel.native is not None:
            kernel.early = {value for value in kernel.native.find_early(self.program) if value not in kept}
            kept |= dict.fromkeys(kernel.early, CHUNK)
        place_loop(self.program, kernel.memory, kept, {})
        for value in kept:
            if value not in kernel.memory.places:
                kernel.memory.new([value], WHOLE)
        kernel.always.add(kernel.memory.places[output].slab)
        for value, made in saved.items():
            kernel.memory.places[value] = kernel.memory.places[made]
        arrays = dict(zip([*forward.inputs, *forward.masks], sequences, strict=True))
        arrays |= dict(zip(forward.parameters.values(), parameters, strict=True))
        inner = {value for step in (*self.program.before, *self.program.after) for value in (*step.values, step.result)}
        used = {kernel.memory.places[value].slab for value in inner if value in kernel.memory.places}
        kernel.brief = {slab for slab in kernel.memory.slabs if slab.scope == WHOLE and not slab.slots} - used - kernel.always
        self.learn_sizes(sequences[0], arrays)
        if any(slab.scope == WHOLE and not slab.given and slab not in kernel.always | kernel.brief for slab in kernel.memory.slabs):
            kernel.head.add("span = T if keep else chunk")
        self.allocate()
        self._start(states, firsts)
        self._print_chunks(states)
        self.saved = list(dict.fromkeys([*states.values(), *(kernel.memory.places[value].slab for value in forward.saved)]))
        self.saved = [slab for slab in self.saved if not slab.given]
        return self._finish(output, states, [*sequences, *firsts.values(), *parameters])

    def _place_state(self, before: Value, after: Value) -> Slab:
        """The slab of a state; what comes after a step is made there, or copied where it is something else as well."""
        kernel, program = self.kernel, self.program
        slab = Slab(before.type, 1, WHOLE, before.name, slots=1)
        kernel.memory.slabs.append(slab)
        kernel.declare(slab, before.name)
        places = kernel.memory.places
        places[before] = Place(slab, 0)
        wanted = next((value for value in program.results if value is after), after)
        made = program.results.get(wanted, wanted)
        in_loop = {step.result for step in program.loop}
        if not isinstance(made, Value) or made in places or made not in in_loop:
            carried = isinstance(made, Value) and program.level[made] == CARRIED
            made = self.copy(made, before.type, program.loop if carried else program.before, CARRIED if carried else BEFORE)
        places[made] = Place(slab, 0, 1)
        places[after] = places[made]
        return slab

    def _place_output(self, kept: dict[Value, int]) -> Value:
        """The value that is the output: a state after the step, or one with a slab of its own."""
        program, places = self.program, self.kernel.memory.places
        made = program.results[self._output()]
        place = places.get(made) if isinstance(made, Value) else None
        if place is not None and place.shift and isinstance(made, Value):
            return made
        produced = {step.result for step in (*program.before, *program.loop, *program.after)}
        if not isinstance(made, Value) or made not in produced:
            late = isinstance(made, Value) and program.level[made] == CARRIED
            made = self.copy(made, self.plan.forward.output.type, program.after, CARRIED if late else BEFORE)
        kept[made] = WHOLE
        return made

    def _output(self) -> Value:
        return self.plan.forward.output if self.plan.forward.output in self.program.results else next(iter(self.program.results))

    def _keep(self, value: Value, kept: dict[Value, int]) -> Value:
        """See that a value is there for the backward pass."""
        made = self.program.results[value]
        if not isinstance(made, Value) or self.program.level[made] == SETUP:
            made = self.copy(made, value.type, self.program.before, BEFORE)
        if made not in self.kernel.memory.places:
            kept[made] = WHOLE
        return made

    def _keep_after(self, kept: dict[Value, int]) -> None:
        made = {step.result for step in self.program.loop}
        for step in self.program.after:
            for value in step.values:
                if value in made and value not in self.kernel.memory.places:
                    kept.setdefault(value, CHUNK)

    def _start(self, states: dict[str, Slab], firsts: dict[str, str]) -> None:
        head, arrays = self.kernel.head, self.kernel.arrays
        for name, slab in states.items():
            head.add(f"{arrays[slab]}[0] = 0 if {firsts[name]} is None else {firsts[name]}")

    def _print_chunks(self, states: dict[str, Slab]) -> None:
        kernel, program = self.kernel, self.program
        body = kernel.body
        ends = self.ends(kernel.memory.places)
        kernel.print_chunk(program.before, ends, 0, {})
        kernel.print_loop()
        kernel.print_chunk(program.after, ends, len(program.before), {})
        lines = ["stop = min(T, start + chunk)", "count = stop - start", "rows = count * N"]
        short = [slab for slab in kernel.memory.slabs if slab.scope == WHOLE and slab not in kernel.always and slab not in kernel.brief]
        if short:
            lines.append("base = start if keep else 0")
        moved = [kernel.arrays[slab] for slab in states.values() if slab not in kernel.always]
        if moved:
            lines += ["if start and not keep:", *(f"    {name}[0] = {name}[chunk]" for name in moved)]
        body.text[:0] = ["        " + line for line in lines]

    def _finish(self, output: Value, states: dict[str, Slab], arguments: list[str]) -> str:
        kernel = self.kernel
        place = kernel.memory.places[output]
        array = kernel.arrays[place.slab]
        lane = f"[{place.lane}]" if place.slab.lanes > 1 else ""
        result = f"{array}[1:]" if place.shift else f"{array}{lane}"
        finals = []
        for slab in states.values():
            last = "T" if slab in kernel.always else "T if keep else count"
            finals.append(f"{kernel.arrays[slab]}[{last}].copy()")
        saved = [kernel.arrays[slab] for slab in self.saved]
        doc = f"{self.plan.cell.name} over time: the outputs, the final states, and what the backward function reads."
        lines = [f"def {self.name}_forward({', '.join(arguments)}, keep, empty=np.empty):", *docstring(doc, 1), *kernel.head.text]
        lines += ["    " + line for line in kernel.static] + ["    for start in range(0, T, chunk):", *kernel.body.text]
        lines.append(f"    return {', '.join([result, *finals])}, ({', '.join(saved)}{',' * (len(saved) == 1)})")
        return "\n".join(lines)
