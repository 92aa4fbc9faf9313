"""The backward function of a scan: from gradients of outputs and final states to those of everything the scan was given."""

from __future__ import annotations

from typing import final

from compiler.backends.names import docstring, identifier
from compiler.backends.scan_forward import ForwardFunction, Function
from compiler.backends.scan_memory import CHUNK, STEP, WHOLE, Place, Slab, place_loop
from compiler.ir.graph import Value
from compiler.passes.scan_algebra import CARRIED, SETUP
from compiler.passes.scan_plan import ScanPlan
from compiler.passes.scan_steps import Step, Unsupported


@final
class BackwardFunction(Function):
    """The function that runs a scan's gradients back through time, from what the forward function saved."""

    def __init__(self, plan: ScanPlan, name: str, reserved: set[str], forward: ForwardFunction, *, tensors: bool) -> None:
        super().__init__(plan, plan.backward.program, reserved, backward=True, tensors=tensors, native=forward.kernel.native)
        self.name = name
        self.forward = forward

    def print(self) -> str:
        """The function's text."""
        plan, kernel, backward, program = self.plan, self.kernel, self.plan.backward, self.program
        (grad_output,) = self.give([backward.output])
        carries = {name: self._place_seed(seed) for name, (seed, _) in backward.states.items()}
        incoming = {name: kernel.names.claim(f"grad_{identifier(name)}_last") for name in carries}
        sequences = self.give([*plan.forward.inputs, *plan.forward.masks])
        parameters = self.give_parameters()
        saved = self._give_saved()
        kept: dict[Value, int] = {}
        last = self._successors()
        inputs = {value: self._place_gradient(result, value, kept) for value, result in backward.inputs.items()}
        self._keep_seeds()
        produced = {step.result for step in program.loop}
        for step in (*program.after, *kernel.outers.values()):
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
            dtype = kernel.dtype(slab.type.dtype)
            zeros = f"np.zeros({kernel.shape(slab.type)}, {dtype})"
            given = incoming[name]
            kernel.head.add(f'{kernel.arrays[slab]} = {zeros} if {given} is None else np.array({given}, {dtype}, order="C")')
        finals, totals = self._collect()
        kernel.finals = finals
        needed, inward = self._split_after()
        ends = self.ends(kernel.memory.places)
        kernel.print_chunk(program.before, ends, 0, finals)
        kernel.print_loop(self._moves(last))
        kernel.print_chunk(needed, ends, len(program.before), finals)
        if inward:
            kernel.body.add("if inward:")
            kernel.body.depth += 1
            kernel.print_chunk(inward, ends, len(program.before) + len(needed), finals)
            kernel.body.depth -= 1
        lines = ["stop = min(T, start + chunk)", "count = stop - start", "rows = count * N"]
        lines += ["first = stop == T"] if any(" if first else " in line for line in kernel.body.text) else []
        kernel.body.text[:0] = ["        " + line for line in lines]
        results = [self._whole(inputs[value]) if value in inputs else "None" for value in plan.forward.inputs]
        results += [kernel.arrays[slab] for slab in carries.values()]
        results += [totals.get(key, "None") for key in plan.forward.parameters]
        arguments = [grad_output, *incoming.values(), *sequences, *parameters, "saved", "inward=True", "empty=np.empty"]
        text = [f"def {self.name}_backward({', '.join(arguments)}):", *docstring(f"The gradients of {plan.cell.name}.", 1)]
        if saved:
            text.append(f"    {', '.join(saved)}{',' * (len(saved) == 1)} = saved")
        text += kernel.head.text + ["    " + line for line in kernel.static]
        text += ["    for start in reversed(range(0, T, chunk)):", *kernel.body.text, *kernel.tail.text]
        text.append(f"    return {', '.join(results)}{',' * (len(results) == 1)}")
        return "\n".join(text)

    def _split_after(self) -> tuple[list[Step], list[Step]]:
        """The steps after the loop: those that parameters' gradients need, then those that only inputs' gradients need."""
        after = self.program.after
        needed: set[Value] = set()
        results = self.program.results
        wanted = {results.get(value, value) for value in self.plan.backward.parameters.values()}
        for step in reversed(after):
            if step.result in wanted or step.result in needed:
                needed.update((step.result, *step.values))
        ordered = [step for step in after if step.result in needed], [step for step in after if step.result not in needed]
        after[:] = [*ordered[0], *ordered[1]]
        return ordered

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
                given = next(
                    item for item, known in self.forward.kernel.memory.places.items() if known == place and item in kernel.memory.places
                )
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
            if made not in kernel.totals and made not in kernel.outers:
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
