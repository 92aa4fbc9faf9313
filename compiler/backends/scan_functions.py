"""The two functions of a scan: arguments, results and what passes between them, around the loops that `scan_kernels` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from compiler.backends.names import docstring, identifier
from compiler.backends.scan_kernels import ROWS, STEPS, Kernel
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Place, Slab, place_loop
from compiler.ir.cell import BATCH
from compiler.ir.graph import Value
from compiler.ir.types import DType, TensorType
from compiler.passes.scan_algebra import BEFORE, CARRIED, SETUP, Program
from compiler.passes.scan_plan import ScanPlan, Unsupported
from compiler.passes.scan_steps import Step

RESERVED: Final = ("np", "zip", "range", "reversed", "max", "min", "first")


@final
@dataclass(frozen=True, slots=True)
class SavedSlab:
    """What the forward function hands to the backward one: lanes of a type for every step, `slots` 1 for states."""

    type: TensorType
    lanes: int
    slots: int


@final
@dataclass(frozen=True, slots=True)
class ScanText:
    """The printed functions `{name}_forward` and `{name}_backward`.

    forward(sequences…, masks…, first states…, parameters…, keep) gives the outputs, the final states, and what was saved (a tuple).
    backward(gradient of outputs, of final states…, sequences…, masks…, parameters…, saved) gives the gradients of sequences, first
    states and parameters, in order; None where there is none. Sequences are [T, N, …] and contiguous; first states may be None.
    """

    name: str
    text: str
    saved: tuple[SavedSlab, ...]
    used: dict[str, Callable[..., Any]]
    masks: tuple[int, ...]


def print_scan(plan: ScanPlan, name: str, taken: Iterable[str] = ()) -> ScanText:
    """The text of both functions."""
    reserved = {*taken, *RESERVED, f"{name}_forward", f"{name}_backward"}
    forward = _Forward(plan, name, reserved)
    first = forward.print()
    backward = _BackwardPrinter(plan, name, reserved, forward)
    second = backward.print()
    saved = tuple(SavedSlab(slab.type, slab.lanes, slab.slots) for slab in forward.saved)
    masks = tuple(value.type.rank for value in plan.forward.masks)
    return ScanText(name, f"{first}\n\n\n{second}\n", saved, forward.kernel.used | backward.kernel.used, masks)


class _Function:
    """Abstract: what both functions share."""

    def __init__(self, plan: ScanPlan, program: Program, reserved: set[str], *, backward: bool) -> None:
        self.plan = plan
        self.program = program
        entries = {value: name for name, value in plan.cell.graph.entries.items()}
        self.kernel = Kernel(program, reserved, entries, backward=backward)

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
        shifts = {value: 1 for value in (*self.plan.forward.inputs, *self.plan.forward.masks)}
        for value, name in arrays.items():
            for axis, dim in enumerate(value.type.shape):
                for symbol in dim.symbols:
                    if symbol not in kernel.sizes and str(dim) == symbol:
                        kernel.sizes[symbol] = kernel.names.claim(symbol)
                        kernel.head.add(f"{kernel.sizes[symbol]} = {name}.shape[{axis + shifts.get(value, 0)}]")
        floats = [name for value, name in arrays.items() if value.type.dtype is DType.f32]
        kernel.head.add(f"dtype = {floats[0]}.dtype" if floats else "dtype = np.dtype(np.float32)")
        kernel.head.add(f"chunk = min(T, max({STEPS}, {ROWS} // N))")

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

    def allocate(self, skip: Iterable[Slab] = ()) -> None:
        kernel = self.kernel
        for slab in kernel.memory.slabs:
            if slab not in skip and not slab.given and slab not in kernel.arrays:
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
class _Forward(_Function):
    def __init__(self, plan: ScanPlan, name: str, reserved: set[str]) -> None:
        super().__init__(plan, plan.forward.program, reserved, backward=False)
        self.name = name
        self.saved: list[Slab] = []

    def print(self) -> str:
        plan, kernel, forward = self.plan, self.kernel, self.plan.forward
        sequences = self.give([*forward.inputs, *forward.masks])
        kept: dict[Value, int] = {}
        states = {name: self._place_state(*pair) for name, pair in forward.states.items()}
        firsts = {name: kernel.names.claim(f"{identifier(name)}_first") for name in states}
        parameters = self.give_parameters()
        output = self._place_output(kept)
        saved = {value: self._keep(value, kept) for value in forward.saved}
        self._keep_after(kept)
        place_loop(self.program, kernel.memory, kept, {})
        for value in kept:
            if value not in kernel.memory.places:
                kernel.memory.new([value], WHOLE)
        if kernel.memory.places[output].slab not in states.values():
            kernel.always.add(kernel.memory.places[output].slab)
        for value, made in saved.items():
            kernel.memory.places[value] = kernel.memory.places[made]
        arrays = dict(zip([*forward.inputs, *forward.masks], sequences, strict=True))
        arrays |= dict(zip(forward.parameters.values(), parameters, strict=True))
        self.learn_sizes(sequences[0], arrays)
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
        short = [slab for slab in kernel.memory.slabs if slab.scope == WHOLE and slab not in kernel.always]
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
        doc = f"{self.plan.cell.name} over time; see the module's head for the order of arguments."
        lines = [f"def {self.name}_forward({', '.join(arguments)}, keep):", *docstring(doc, 1), *kernel.head.text]
        lines += ["    " + line for line in kernel.static] + ["    for start in range(0, T, chunk):", *kernel.body.text]
        lines.append(f"    return {', '.join([result, *finals])}, ({', '.join(saved)}{',' * (len(saved) == 1)})")
        return "\n".join(lines)


@final
class _BackwardPrinter(_Function):
    def __init__(self, plan: ScanPlan, name: str, reserved: set[str], forward: _Forward) -> None:
        super().__init__(plan, plan.backward.program, reserved, backward=True)
        self.name = name
        self.forward = forward

    def print(self) -> str:
        plan, kernel, backward, program = self.plan, self.kernel, self.plan.backward, self.program
        (grad_output,) = self.give([backward.output])
        carries = {name: self._place_seed(seed) for name, (seed, _) in backward.states.items()}
        incoming = {name: kernel.names.claim(f"grad_{identifier(name)}_last") for name in carries}
        sequences = self.give([*plan.forward.inputs, *plan.forward.masks])
        parameters = self.give_parameters()
        saved = self._give_saved()
        kept: dict[Value, int] = {}
        last = self._successors()
        self._keep_seeds()
        inputs = {value: self._place_gradient(result, value, kept) for value, result in backward.inputs.items()}
        produced = {step.result for step in program.loop}
        for step in program.after:
            for value in step.values:
                if value in produced:
                    kept.setdefault(value, CHUNK)
        place_loop(program, kernel.memory, kept, last)
        for value in kept:
            if value not in kernel.memory.places:
                kernel.memory.new([value], WHOLE)
        arrays = dict(zip([*plan.forward.inputs, *plan.forward.masks], sequences, strict=True))
        arrays |= dict(zip(plan.forward.parameters.values(), parameters, strict=True))
        self.learn_sizes(sequences[0], arrays)
        self.allocate()
        for name, slab in carries.items():
            kernel.head.add(f"{kernel.arrays[slab]} = np.array({incoming[name]}, dtype)")
        finals, totals = self._collect()
        ends = self.ends(kernel.memory.places)
        kernel.print_chunk(program.before, ends, 0, finals)
        kernel.print_loop(self._moves(last))
        kernel.print_chunk(program.after, ends, len(program.before), finals)
        lines = ["stop = min(T, start + chunk)", "count = stop - start", "rows = count * N"]
        lines += ["first = stop == T"] if any("first" in line for line in kernel.body.text) else []
        kernel.body.text[:0] = ["        " + line for line in lines]
        results = [self._whole(inputs[value]) if value in inputs else "None" for value in plan.forward.inputs]
        results += [kernel.arrays[slab] for slab in carries.values()]
        results += [totals[key] if key in totals else "None" for key in plan.forward.parameters]
        arguments = [grad_output, *incoming.values(), *sequences, *parameters, "saved"]
        text = [f"def {self.name}_backward({', '.join(arguments)}):", *docstring(f"The gradients of {plan.cell.name}.", 1)]
        if saved:
            text.append(f"    {', '.join(saved)}{',' * (len(saved) == 1)} = saved")
        text += kernel.head.text + ["    " + line for line in kernel.static]
        text += ["    for start in reversed(range(0, T, chunk)):", *kernel.body.text]
        text.append(f"    return {', '.join(results)}{',' * (len(results) == 1)}")
        return "\n".join(text)

    def _place_seed(self, seed: Value) -> Slab:
        slab = Slab(seed.type, 1, STEP, given=True)
        self.kernel.memory.places[seed] = Place(slab, 0)
        self.kernel.declare(slab, seed.name)
        return slab

    def _give_saved(self) -> list[str]:
        """The slabs that the forward function saved, with the places they give to its values."""
        kernel, names = self.kernel, []
        made: dict[Slab, Slab] = {}
        for slab in self.forward.saved:
            made[slab] = Slab(slab.type, slab.lanes, WHOLE, slab.name, slab.slots, given=True)
            names.append(kernel.declare(made[slab], self.forward.kernel.arrays[slab]))
        for value in (*self.plan.forward.saved, *(item for pair in self.plan.forward.states.values() for item in pair)):
            place = self.forward.kernel.memory.places[value]
            if place.slab in made:
                kernel.memory.places[value] = Place(made[place.slab], place.lane, place.shift)
            elif value not in kernel.memory.places:
                given = next(item for item, known in self.forward.kernel.memory.places.items() if known == place and item in kernel.memory.places)
                kernel.memory.places[value] = kernel.memory.places[given]
        return names

    def _successors(self) -> dict[Value, Value]:
        """By gradient of a state after the step, the one before it; a copy where that is something else as well."""
        program = self.program
        made_in_loop = {step.result for step in program.loop}
        last: dict[Value, Value] = {}
        for seed, gradient in self.plan.backward.states.values():
            made = 0.0 if gradient is None else program.results.get(gradient, gradient)
            if not isinstance(made, Value) or made not in made_in_loop or made in last.values():
                made = self.copy(made, seed.type, program.loop, CARRIED)
            last[seed] = made
        return last

    def _keep_seeds(self) -> None:
        """What is read after the loop is not carried: a copy of it is kept for each step."""
        program = self.program
        for seed, _ in self.plan.backward.states.values():
            if not any(seed in step.values for step in program.after):
                continue
            fresh = self.copy(seed, seed.type, program.loop, CARRIED)
            program.after[:] = [
                Step(step.function, tuple(fresh if item is seed else item for item in step.operands), step.result, step.node)
                for step in program.after
            ]

    def _place_gradient(self, result: Value, like: Value, kept: dict[Value, int]) -> Value:
        """The value that is the gradient of a sequence, with a slab of its own."""
        program = self.program
        made = program.results.get(result, result)
        produced = {step.result for step in (*program.before, *program.loop, *program.after)}
        if not isinstance(made, Value) or made not in produced or made in kept:
            made = self.copy(made, like.type, program.after, CARRIED)
        kept[made] = WHOLE
        return made

    def _whole(self, value: Value) -> str:
        place = self.kernel.memory.places[value]
        return self.kernel.arrays[place.slab] + (f"[{place.lane}]" if place.slab.lanes > 1 else "")

    def _collect(self) -> tuple[dict[Value, list[str]], dict[str, str]]:
        """Arrays that collect the parameters' gradients, by the value added in each chunk and by key."""
        kernel, program, plan = self.kernel, self.program, self.plan
        finals: dict[Value, list[str]] = {}
        totals: dict[str, str] = {}
        for key, gradient in plan.backward.parameters.items():
            made = program.results.get(gradient, gradient)
            name = totals[key] = kernel.names.claim(f"grad_{key}")
            kernel.head.add(f"{name} = np.zeros_like({kernel.texts[plan.forward.parameters[key]]})")
            if isinstance(made, Value):
                if program.level[made] == SETUP:
                    raise Unsupported("a gradient that does not depend on examples")
                finals.setdefault(made, []).append(name)
            elif made != 0.0:
                raise Unsupported("a gradient that does not depend on examples")
        return finals, totals

    def _moves(self, last: dict[Value, Value]) -> list[tuple[Place, Place]]:
        """Copies at a step's end: from where a carried gradient was made to where the next step reads it."""
        places = self.kernel.memory.places
        return [(places[seed], places[made]) for seed, made in last.items() if places[seed] != places[made]]


__all__ = ["BATCH", "SavedSlab", "ScanText", "print_scan"]
